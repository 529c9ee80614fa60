"""Reading kmstwist's log lines back: text and JSON, also with a prefix of syslog's or journalctl's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from kmstwist.networks import parse_address

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))?"
    r"(?P<between>.*?)(?:^|(?<=\s))(?P<level>debug|info|warn|error|critical) "
    r"(?P<event>[a-z][a-z-]*)(?P<fields>(?: \w+=.*)?)$"
)
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')
_AGO = re.compile(r"(\d+)\s*(s|m|h|d|w)$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log, taken apart. `when` is None where the line has no time that says its zone."""

    text: str
    when: datetime | None
    level: str
    event: str
    fields: Mapping[str, str] = field(default_factory=dict)


def parse_line(text: str) -> LogLine | None:
    """The line's parts; None for a line that is not kmstwist's (a traceback's, another program's)."""
    text = text.rstrip("\n")
    start = text.find('{"time": ')
    if start >= 0:
        return _parse_json(text, start)
    found = _LINE.match(text)
    if found is None:
        return None
    fields = {key: _plain(value) for key, value in _FIELD.findall(found["fields"])}
    return LogLine(text, _time(found["time"]), found["level"], found["event"], fields)


def _parse_json(text: str, start: int) -> LogLine | None:
    try:
        record = json.loads(text[start:])
    except (ValueError, RecursionError):
        return None
    when, level, event = record.pop("time"), record.pop("level", ""), record.pop("event", "")
    if not all(isinstance(part, str) for part in (when, level, event)):
        # Ours are text, so this is another program's line that begins in the same way.
        return None
    return LogLine(text, _time(when), level, event, {key: str(value) for key, value in record.items()})


def _plain(value: str) -> str:
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


def _time(text: str | None) -> datetime | None:
    try:
        return None if not text else datetime.fromisoformat(text)
    except ValueError:
        return None


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: "10m" or "2h" ago, a date, or a date and time (UTC unless it says).

    Raises `ValueError` with a sentence.
    """
    ago = _AGO.match(text.strip())
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
    except OverflowError:
        raise ValueError(f"{text!r} is too long ago") from None
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write 10m, 2h, 3d or 2026-01-31T09:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted; an empty condition lets every line through. * is any text in all but the clients.

    Machines' names are compared without their case: a client gives its own as it likes, and reports show it in lower
    case.
    """

    clients: tuple[IPv4Network | IPv6Network, ...] = ()
    reasons: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    since: datetime | None = None

    def admits(self, line: LogLine) -> bool:
        """Whether the line fulfils every condition."""
        return (
            (not self.clients or self._from_client(line.fields.get("client", "")))
            and _any_match(self.reasons, line.fields.get("reason", ""))
            and _any_match(self.results, line.fields.get("result", ""))
            and _any_match(self.events, line.event)
            and _any_match(tuple(map(str.casefold, self.machines)), line.fields.get("machine", "").casefold())
            and (self.since is None or line.when is None or line.when >= self.since)
        )

    def _from_client(self, client: str) -> bool:
        address = parse_address(client)
        return address is not None and any(address in network for network in self.clients)


def _any_match(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(_pattern(pattern).fullmatch(value) for pattern in patterns)


@lru_cache
def _pattern(text: str) -> re.Pattern[str]:
    # Only * is special, unlike in fnmatch: a machine's name may have brackets, and these are meant as they stand.
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def select(lines: Iterable[str], wanted: Wanted, *, others: bool) -> Iterator[LogLine]:
    """The wanted lines. `others`: let through what is not kmstwist's, too (a traceback in the log, say)."""
    for text in lines:
        line = parse_line(text)
        if line is None:
            if others and text.strip():
                yield LogLine(text.rstrip("\n"), None, "", "")
        elif wanted.admits(line):
            yield line
