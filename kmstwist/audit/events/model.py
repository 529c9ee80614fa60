"""An event as the formats have it, and its meaning once it is understood."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

REQUEST_SENT = 12288
ANSWER_PROCESSED = 12289
REQUEST_ANSWERED = 12290
STARTING_FAILED = 12291
TIMER_FAILED = 12292
PUBLISHING_FAILED = 12293
PUBLISHED = 12294

KMS_EVENTS = frozenset(range(REQUEST_SENT, PUBLISHED + 1))
CLIENT_EVENTS = frozenset({REQUEST_SENT, ANSWER_PROCESSED})

# The sources of KMS events. Event Viewer leaves out "Microsoft-Windows-"; Windows Vista's source was
# "…-Licensing-SLC". Other sources use the same numbers: the Volume Shadow Copy Service logs 12289 to 12293.
_LOGGED_BY = re.compile(
    r"security-spp|licensing-slc|software ?protection|software licensing|kmsrequests|key management service",
    re.IGNORECASE,
)


# Neither this nor `Event` is frozen: nobody changes one, and making a frozen one takes twice as long.
@dataclass(slots=True)
class RawEvent:
    """An event as a file has it: its strings, its text, or both.

    `at` is in milliseconds since 1970 (UTC); `place` is its place in the file. `source` is who logged it, and in which
    log, as far as the format says.
    """

    place: str
    event_id: int
    at: int
    strings: Sequence[str] = ()
    message: str = ""
    computer: str = ""
    record_id: int | None = None
    source: str = ""

    @property
    def is_kms(self) -> bool:
        """Whether it is a KMS event: by its number, and by who logged it if that is known."""
        return is_kms(self.event_id, self.source)


def is_kms(event_id: int, source: str) -> bool:
    """Whether an event with this number, logged by `source`, is a KMS event; with an unknown source ("") it may be."""
    return event_id in KMS_EVENTS and (not source or logged_by_kms(source))


@lru_cache(maxsize=256)
def logged_by_kms(source: str) -> bool:
    """Whether `source`, the name of a provider or a log, is one of KMS events."""
    return _LOGGED_BY.search(source) is not None


@dataclass(frozen=True, slots=True)
class BrokenEvent:
    """An event, or a part of a file, that could not be read: where, and why."""

    place: str
    why: str


class EventError(ValueError):
    """An event does not have the values of its kind; the text says which string is wrong, or what is missing."""


class _Kept:
    """A property computed once for each object. As `functools.cached_property`, without Python 3.11's lock: there are
    a hundred thousand objects, each known to one thread."""

    def __init__(self, compute: Callable[[Event], bytes]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, event: Event, _owner: type) -> bytes:
        kept = event.__dict__[self._name] = self._compute(event)
        return kept


@dataclass
class Event:
    """A KMS event with its meaning. Values that its kind of event does not have are None.

    `computer` logged it ("" where the format leaves it out): the KMS host for 12290 to 12294, the client for
    12288 and 12289. `target` is the host asked (12288), or the DNS domain published in. `client_time` is the text of
    the client's clock, to the minute.
    """

    event_id: int
    computer: str
    record_id: int | None
    at: int
    hresult: int | None = None
    machine: str | None = None
    cmid: str | None = None
    act_id: str | None = None
    license_status: int | None = None
    virtual_machine: bool | None = None
    minutes_left: int | None = None
    required_count: int | None = None
    count: int | None = None
    client_time: str | None = None
    target: str | None = None

    @_Kept
    def facts(self) -> bytes:
        """8 bytes computed from the event's values, the same for every format.

        A client's own events name it only by the computer, which a format may leave out, so it is not included.
        """
        told = (
            self.event_id,
            self.hresult,
            None if self.event_id in CLIENT_EVENTS else (self.machine or "").lower(),
            self.cmid,
            self.act_id,
            self.license_status,
            self.virtual_machine,
            self.minutes_left,
            self.required_count,
            self.count,
            _NUMBERS.findall(self.client_time or ""),
            (self.target or "").lower(),
        )
        return hashlib.blake2b(repr(told).encode("utf-8", "replace"), digest_size=8).digest()

    @_Kept
    def fingerprint(self) -> bytes:
        """16 bytes that distinguish this event from all others: its values, and where and when it was logged."""
        told = f"{self.computer.lower()}\0{self.record_id}\0{self.at}"
        return self.facts + hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).digest()

    @_Kept
    def first_fingerprint(self) -> bytes:
        """The fingerprint that the first release stored for this event."""
        told = [
            str(value)
            for value in (
                self.event_id,
                self.computer.lower(),
                self.record_id if self.record_id is not None else f"at {self.at // 1000}",
                self.hresult,
                (self.machine or "").lower(),
                self.cmid,
                self.act_id,
                self.license_status,
                self.virtual_machine,
                self.minutes_left,
                self.required_count,
                self.count,
                self.client_time,
                self.target,
            )
        ]
        return hashlib.blake2b("\0".join(told).encode("utf-8", "replace"), digest_size=16).digest()


# Leading zeros differ between versions of Windows, and between an event's strings and its text.
_NUMBERS = re.compile(r"[1-9]\d*|0(?!\d)")


def record_number(text: str) -> int | None:
    """An event's record number; None if the text is not one (the largest is that of a signed 64-bit integer)."""
    clean = text.strip()
    if not clean.isascii() or not clean.isdecimal() or len(clean) > 19:
        return None
    number = int(clean)
    return number if number < 1 << 63 else None
