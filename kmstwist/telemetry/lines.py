"""How log events become lines, and how many of one kind: `key=value` text or JSON.

A value that could break a line or a parser is quoted as in JSON: a client chooses its machine name, and must not be
able to write log lines with it.

A scanner or a broken client must not fill the disk or bury what matters. So each kind of line (its event, its
result and its reason code) has a token bucket. Lines beyond it are dropped and counted, and a `suppressed` line says
how many. The line of an answered call is never dropped: the log promises one line for each conversation, and there are
only as many answered calls as the site's machines make. The kinds are few and known, so memory is bounded, however many
clients there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol

from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from twisted.logger import LogEvent as TwistedEvent
from zope.interface import implementer

from kmstwist.logevents import CONVERSATION, DEFECT, SUPPRESSED
from kmstwist.pacing.tokens import TokenBucket

_CONVERSATION: Final = CONVERSATION.name
_CONVERSATION_FIELDS: Final = tuple(CONVERSATION.fields)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,*()<>\[\]-]+\Z")
_RANK = {LogLevel.debug: 0, LogLevel.info: 1, LogLevel.warn: 2, LogLevel.error: 3, LogLevel.critical: 4}
#: The only messages of Twisted itself that are written unless the level is debug.
_LOUD = frozenset({LogLevel.warn, LogLevel.error, LogLevel.critical})
LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}


class Level(Protocol):
    """One of Twisted's levels (`LogLevel.info`), whose own type is unknown to type checkers."""

    @property
    def name(self) -> str:
        """The level's name, as it stands in a line."""


Formatter = Callable[[str, str, str, Mapping[str, object]], str]


def format_text(when: str, level: str, name: str, fields: Mapping[str, object]) -> str:
    """One line of text: time (unless it is ""), level, event, then `key=value` for every field that has a value."""
    head = f"{when} {level} {name}" if when else f"{level} {name}"
    if name == _CONVERSATION and len(fields) == len(_CONVERSATION_FIELDS):
        return head + _text_of_conversation(fields)
    return head + _text_of(fields.items())


def _text_of(fields: Iterable[tuple[str, object]]) -> str:
    line = ""
    for key, value in fields:
        if value is None:
            continue
        kind = type(value)
        if kind is str:
            if value:
                line += f" {key}={_shown(value)}"
        elif kind is float:
            line += f" {key}={value:.1f}"
        elif kind is int:
            line += f" {key}={value}"
        elif value != "":
            line += f" {key}={_shown(f'{value:.1f}' if isinstance(value, float) else str(value))}"
    return line


def _text_of_conversation(fields: Mapping[str, Any]) -> str:
    """The same as `_text_of`, in a third of the time, for the line that each call has.

    Most of it is what other calls' lines say, too, and is kept as text. `fields` are all of the event's, in its order.
    """
    client, port, *steady, bind, call, total, bytes_in, bytes_out = fields.values()
    if bind is None or call is None:
        return _text_of(fields.items())
    # With three numbers of this kind, `%` is a quarter faster than an f-string.
    return " client=%s port=%d%s bind_ms=%.1f call_ms=%.1f total_ms=%.1f bytes_in=%d bytes_out=%d" % (  # noqa: UP031
        _shown(client),
        port,
        _steady_text(*steady),
        bind,
        call,
        total,
        bytes_in,
        bytes_out,
    )


# As bounded as the cache below, and for the same reason.
@lru_cache(maxsize=1024)
def _steady_text(*values: object) -> str:
    """What a conversation's line says between the client's port and the durations."""
    return _text_of(zip(_CONVERSATION_FIELDS[2:-5], values, strict=True))


# A site has few products, hosts and reasons; the cache is bounded, since a client can choose its machine's name.
@lru_cache(maxsize=4096)
def _shown(text: str) -> str:
    return text if _PLAIN.match(text) else json.dumps(text)


#: `json.dumps` makes such an encoder for each call, which takes 2 µs.
_to_json = json.JSONEncoder(default=str).encode


def format_json(when: str, level: str, name: str, fields: Mapping[str, object]) -> str:
    """One line with a JSON object: `time`, `level`, `event`, then the fields that have a value."""
    record: dict[str, object] = {"time": when, "level": level, "event": name}
    for key, value in fields.items():
        if value is not None and value != "":
            record[key] = round(value, 3) if isinstance(value, float) else value
    return _to_json(record)


def format_without_time(when: str, level: str, name: str, fields: Mapping[str, object]) -> str:
    """A line of text for syslog and the journal, which add the time themselves."""
    return format_text("", level, name, fields)


FORMATTERS: Final[Mapping[str, Formatter]] = {"text": format_text, "json": format_json}
#: The same for what adds the time itself.
WITHOUT_TIME: Final[Mapping[str, Formatter]] = {"text": format_without_time, "json": format_json}


def read_event(event: TwistedEvent) -> tuple[str, Mapping[str, object]]:
    """The name and fields of an event: one of ours, or a message of Twisted's as `twisted text=…`."""
    name = event.get("kms_event")
    if name is not None:
        return str(name), event["kms_fields"]
    fields: dict[str, object] = {"text": formatEvent(event)}
    failure = event.get("log_failure")
    if failure is not None:
        fields["traceback"] = failure.getTraceback()
    return "twisted", fields


# Both cached, since a busy millisecond has tens of lines.
@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4)
def _moment(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03}Z"


@implementer(ILogObserver)
class LineObserver:
    """Writes events as lines to a stream; `write` gets each line without its newline, and its level."""

    #: How this kind of observer formats lines, under the names of the configuration's formats.
    formatters: ClassVar[Mapping[str, Formatter]] = FORMATTERS

    def __init__(self, formatter: Formatter, level: str, write: Callable[[str, Level], None]) -> None:
        self._write = write
        self.configure(formatter, level)

    def configure(self, formatter: Formatter, level: str) -> None:
        """Use another format or another lowest level from now on."""
        self._formatter = formatter
        self._rank = _RANK[LEVELS[level]]

    def __call__(self, event: TwistedEvent) -> None:
        """Format the event and write it, if its level is wanted."""
        level = event.get("log_level") or LogLevel.info
        name = event.get("kms_event")
        if name is None and level not in _LOUD:
            # Administrators do not need Twisted's messages about itself ("Starting factory …").
            level = LogLevel.debug
        if _RANK[level] < self._rank:
            return
        if name is None:
            name, fields = read_event(event)
        else:
            fields = event["kms_fields"]
        when = _moment(round(event.get("log_time", 0.0) * 1_000_000) // 1000)
        self.write_event(self._formatter(when, level.name, name, fields), level, name, fields)

    def write_event(self, line: str, level: Level, name: str, fields: Mapping[str, object]) -> None:
        """Write the finished line."""
        self._write(line, level)


#: Seconds between reports of what was dropped.
REPORT_INTERVAL = 10.0
_ANSWERED = frozenset({"activated", "answered", "refused"})
#: Events that are always rare, or are the report itself.
_NEVER = frozenset({SUPPRESSED.name, DEFECT.name})

Kind = tuple[str, str, str]


@dataclass(slots=True)
class Bucket(TokenBucket):
    """The tokens of one kind of line, and what was dropped since the last report."""

    dropped: int = 0
    since: float = 0.0


@implementer(ILogObserver)
class FloodLimit:
    """Passes events on to an observer, but not a flood of one kind.

    `burst` lines of one kind may come at once, and `rate` per second after that; `seconds` is the clock. Call `report`
    every `REPORT_INTERVAL` seconds.
    """

    def __init__(
        self,
        observer: Callable[[TwistedEvent], None],
        seconds: Callable[[], float],
        *,
        burst: int,
        rate: float,
        log: Logger | None = None,
    ) -> None:
        self._observer = observer
        self._seconds = seconds
        self._burst = burst
        self._rate = rate
        self._log = log or Logger(namespace="kmstwist.server")
        self._buckets: dict[Kind, Bucket] = {}

    def configure(self, *, burst: int, rate: float) -> None:
        """Let this many lines through from now on."""
        self._burst = burst
        self._rate = rate

    def __call__(self, event: TwistedEvent) -> None:
        """Pass the event on, or drop and count it."""
        # Asked first: nearly all lines are of answered calls.
        answered = event.get("kms_event") == _CONVERSATION and event["kms_fields"].get("result") in _ANSWERED
        if answered or (kind := kind_of(event)) is None or self._has_token(kind):
            self._observer(event)

    def _has_token(self, kind: Kind) -> bool:
        now = self._seconds()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(self._burst, now)
        if bucket.take(now, self._rate, self._burst):
            return True
        if not bucket.dropped:
            bucket.since = now
        bucket.dropped += 1
        return False

    def report(self) -> None:
        """Log what was dropped since the last report: one line for each kind."""
        now = self._seconds()
        for (event, result, reason), bucket in list(self._buckets.items()):
            dropped, bucket.dropped = bucket.dropped, 0
            if dropped:
                SUPPRESSED.emit(
                    self._log,
                    of_event=event,
                    for_result=result,
                    for_reason=reason,
                    lines=dropped,
                    seconds=max(now - bucket.since, 0.0),
                )


def kind_of(event: TwistedEvent) -> Kind | None:
    """The kind of line that an event makes, if it is not an answered call's; None for lines that are never dropped."""
    name = event.get("kms_event")
    if name is None:
        return ("twisted", "", "") if event.get("log_level") in _LOUD else None
    if name in _NEVER:
        return None
    fields: dict[str, Any] = event["kms_fields"]
    return (str(name), str(fields.get("result") or ""), str(fields.get("reason") or ""))
