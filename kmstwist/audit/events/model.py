"""An event as every format has it, and what it says once it is understood."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

REQUEST_SENT = 12288
ANSWER_PROCESSED = 12289
REQUEST_ANSWERED = 12290
STARTING_FAILED = 12291
TIMER_FAILED = 12292
PUBLISHING_FAILED = 12293
PUBLISHED = 12294

KMS_EVENTS = frozenset(range(REQUEST_SENT, PUBLISHED + 1))
CLIENT_EVENTS = frozenset({REQUEST_SENT, ANSWER_PROCESSED})

# Who logs them. Event Viewer leaves out "Microsoft-Windows-"; Windows Vista's source was "…-Licensing-SLC". Others have
# events of the same numbers: the Volume Shadow Copy Service logs 12289 to 12293 in the Application log.
_LOGGED_BY = re.compile(
    r"security-spp|licensing-slc|software ?protection|software licensing|kmsrequests|key management service",
    re.IGNORECASE,
)


# Neither this nor `Event` is frozen, which nobody makes use of: making one would take twice as long.
@dataclass(slots=True)
class RawEvent:
    """An event as a file has it: its strings, its text, or both.

    `at` is in milliseconds since 1970 (UTC); `place` says where in the file it stands. `source` is who logged it, and
    in which log, as far as the format says so.
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
        """Whether it is an event of KMS: by its number, and by who logged it where that is known."""
        return is_kms(self.event_id, self.source)


def is_kms(event_id: int, source: str) -> bool:
    """Whether an event of this number, logged by `source`, is one of KMS; of an unknown source ("") it may be."""
    return event_id in KMS_EVENTS and (not source or logged_by_kms(source))


@lru_cache(maxsize=256)
def logged_by_kms(source: str) -> bool:
    """Whether `source`, the name of a provider or a log, is one that the events of KMS have."""
    return _LOGGED_BY.search(source) is not None


@dataclass(frozen=True, slots=True)
class BrokenEvent:
    """An event, or a stretch of a file, that could not be read: where, and why."""

    place: str
    why: str


class EventError(ValueError):
    """An event is not what its kind has; the text says which of its strings, or what is missing."""


class _Kept:
    """A property computed once for each object. As `functools.cached_property`, without Python 3.11's lock: there are
    a hundred thousand objects, each known to one thread."""

    def __init__(self, compute: Callable[[Any], bytes]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, event: object, _owner: type) -> bytes:
        kept = event.__dict__[self._name] = self._compute(event)
        return kept


@dataclass
class Event:
    """A KMS event understood. What an event of its kind does not say is None.

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
        """8 bytes that are the same for what this event says in every format.

        A client's own events name it by the computer only, which a format may leave out; so the computer is not a fact.
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
        """16 bytes that tell this event from all others: what it says, and where and when it was logged."""
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


# Zeros before a number differ between Windows' versions and between an event's strings and its text.
_NUMBERS = re.compile(r"[1-9]\d*|0(?!\d)")


def record_number(text: str) -> int | None:
    """An event's record number; None for what is none (a signed 64-bit integer is the most there is)."""
    clean = text.strip()
    if not clean.isascii() or not clean.isdecimal() or len(clean) > 19:
        return None
    number = int(clean)
    return number if number < 1 << 63 else None
