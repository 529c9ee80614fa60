"""An event as every format has it, and what its strings mean.

The strings of each event are published in Microsoft's Volume Activation 2.0 Operations Guide ("KMS Events Logged in
Windows Event Log"); in an event's text they stand after "Info:", separated by commas.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from uuid import UUID

REQUEST_SENT = 12288
ANSWER_PROCESSED = 12289
REQUEST_ANSWERED = 12290
PUBLISHING_FAILED = 12293
PUBLISHED = 12294

KMS_EVENTS = frozenset({REQUEST_SENT, ANSWER_PROCESSED, REQUEST_ANSWERED, PUBLISHING_FAILED, PUBLISHED})
CLIENT_EVENTS = frozenset({REQUEST_SENT, ANSWER_PROCESSED})


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event as a file has it. `at` is in milliseconds since 1970 (UTC); `place` says where in the file it stands."""

    place: str
    event_id: int
    at: int
    data: Sequence[str]
    computer: str = ""
    record_id: int | None = None


@dataclass(frozen=True, slots=True)
class BrokenEvent:
    """An event, or a stretch of a file, that could not be read: where, and why."""

    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """A KMS event understood. What an event of its kind does not say is None.

    `computer` logged it: the KMS host for 12290, 12293 and 12294, the client for 12288 and 12289. `target` is the
    host asked (12288), or the DNS domain published in. `client_time` is the text of the client's clock, to the minute.
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

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that are the same for this event in every format.

        The time is left out where there is a record number: a CSV export has it to the second only, in the zone and
        the manner of the machine that wrote it. The strings tell two events of one number apart (a log that was
        cleared begins again at 1).
        """
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


class EventError(ValueError):
    """An event's strings are not what its kind has; the text says which."""


def understand(raw: RawEvent) -> Event | None:
    """What a KMS event says; None for an event of another kind. Raises EventError for one that is broken."""
    if raw.event_id not in KMS_EVENTS:
        return None
    data = [text.strip() for text in raw.data]
    fields = _Strings([*data, raw.computer], raw.event_id)
    computer, record_id, at = raw.computer, raw.record_id, raw.at
    match raw.event_id:
        case 12290:
            fields.need(9)
            return Event(
                raw.event_id,
                computer,
                record_id,
                at,
                hresult=fields.code(0),
                required_count=fields.number(1),
                machine=fields.text(2),
                cmid=fields.uuid(3),
                client_time=fields.text(4),
                virtual_machine=bool(fields.number(5)),
                license_status=fields.number(6),
                minutes_left=fields.number(7),
                act_id=fields.uuid(8),
            )
        case 12288:
            fields.need(10)
            return Event(
                raw.event_id,
                computer,
                record_id,
                at,
                machine=computer or None,
                hresult=fields.code(0),
                target=fields.text(2),
                cmid=fields.uuid(3),
                client_time=fields.text(4),
                virtual_machine=bool(fields.number(5)),
                license_status=fields.number(6),
                minutes_left=fields.number(7),
                act_id=fields.uuid(8),
                required_count=fields.number(9),
            )
        case 12289:
            fields.need(8)
            return Event(
                raw.event_id,
                computer,
                record_id,
                at,
                machine=computer or None,
                hresult=fields.code(0),
                count=fields.number(4),
                client_time=fields.text(7),
            )
        case 12293:
            fields.need(2)
            return Event(raw.event_id, computer, record_id, at, hresult=fields.code(0), target=fields.text(1))
        case _:
            fields.need(1)
            return Event(raw.event_id, computer, record_id, at, target=fields.text(len(data) - 1))


class _Strings:
    """An event's strings, each read as what it is to be; after them the computer's name."""

    def __init__(self, data: Sequence[str], event_id: int) -> None:
        self._data = data
        self._event_id = event_id
        # Neither is text to a database, and no machine writes them.
        if any(_NO_TEXT.search(text) for text in data):
            raise EventError(f"event {event_id} has a string with a NUL or half a surrogate pair")

    def need(self, least: int) -> None:
        found = len(self._data) - 1
        if found < least:
            raise EventError(f"event {self._event_id} has {least} strings and this one {found}")

    def text(self, at: int) -> str:
        return self._data[at]

    def code(self, at: int) -> int:
        return int(self._read(at, _code, "status code"))

    def number(self, at: int) -> int:
        return int(self._read(at, _number, "number"))

    def uuid(self, at: int) -> str:
        return str(self._read(at, UUID, "UUID"))

    def _read(self, at: int, read: Callable[[str], object], kind: str) -> str:
        try:
            return str(read(self._data[at]))
        except ValueError:
            raise EventError(
                f"string {at + 1} of event {self._event_id} is no {kind}: {self._data[at][:80]!r}"
            ) from None


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def _code(text: str) -> int:
    return int(text, 16) & 0xFFFF_FFFF if text[:2].lower() == "0x" else int(text) & 0xFFFF_FFFF


def _number(text: str) -> int:
    number = int(text, 0)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(text)
    return number


# The strings in an event's text: a line of several comma-separated parts, the first a status code.
_INFO_LINE = re.compile(r"^\s*(0x[0-9A-Fa-f]{1,8}\s*,.*)$", re.MULTILINE)


def strings_of_message(message: str) -> list[str]:
    """The strings in an event's text, found whatever language the words before them are in; else its last line."""
    found = _INFO_LINE.search(message)
    if found is not None:
        return found[1].split(",")
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return [lines[-1]] if lines else []


def unpacked(data: Sequence[str]) -> list[str]:
    """An event's strings, taken apart where a format hands them over as one."""
    if len(data) == 1:
        (only,) = data
        if "<string>" in only:
            return re.findall(r"<string>(.*?)</string>", only, re.DOTALL)
        return only.split(",")
    return list(data)


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d+))?\s*(Z|[+-]\d\d:?\d\d)?")


def iso_to_ms(text: str, zone: tzinfo = UTC) -> int:
    """A time as Windows writes it in XML (`2024-06-01T10:00:00.1234567Z`), in milliseconds; in `zone` if it names none.

    Raises ValueError.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time")
    # Windows has seven digits after the point, Python takes six.
    fraction = (found[2] or "")[:6]
    when = datetime.fromisoformat(found[1] + (f".{fraction:0<6}" if fraction else "") + (found[3] or ""))
    return to_ms(when, zone)


def to_ms(when: datetime, zone: tzinfo) -> int:
    """A time in milliseconds since 1970 (UTC), in `zone` if it names none."""
    return int((when if when.tzinfo is not None else when.replace(tzinfo=zone)).timestamp() * 1000)


def record_number(text: str) -> int | None:
    """An event's record number; None for what is none (a signed 64-bit integer is the most there is)."""
    clean = text.strip()
    if not clean.isascii() or not clean.isdecimal() or len(clean) > 19:
        return None
    number = int(clean)
    return number if number < 1 << 63 else None
