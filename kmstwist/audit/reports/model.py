"""The parts of every report: a question, typed rows, and columns that know how to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, get_type_hints

# Commands that use no store also import this module.
if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

# Microsoft's planning guide: an activation lasts 180 days and is renewed every 7; the host remembers a client 30 days.
ACTIVATION_LASTS = timedelta(days=180)
RENEWAL_EVERY = timedelta(days=7)
HOST_REMEMBERS = timedelta(days=30)

DAY_MS = 86_400_000


class Kind(StrEnum):
    """The kind of a column's values, which decides how they are aligned and written."""

    TEXT = "text"
    # A name, an address, an id: never broken over lines.
    NAME = "name"
    NUMBER = "number"
    # A moment, a `datetime` in UTC.
    TIME = "time"
    # The same, if people need only the day.
    DATE = "date"
    # A status code, an integer written in hexadecimal.
    CODE = "code"
    # A share of one, written in percent.
    SHARE = "share"
    # True or False, written as yes or no.
    FLAG = "flag"


class Urgency(StrEnum):
    """How urgently a row needs attention."""

    NONE = "none"
    GOOD = "good"
    SOON = "soon"
    URGENT = "urgent"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: the row's attribute, the heading, what its values are, and whether a table can do without it."""

    name: str
    title: str
    kind: Kind
    spare: bool


@dataclass(frozen=True, slots=True)
class Heading:
    """Marks a row's field as a column: `Annotated[datetime, Heading("Last call", Kind.TIME)]`.

    A `spare` column is left out of a table that would be too wide with it.
    """

    title: str
    kind: Kind = Kind.TEXT
    spare: bool = False


@dataclass(frozen=True, slots=True)
class ReportRow:
    """The base of all rows."""

    @property
    def urgency(self) -> Urgency:
        """How urgently this row needs attention."""
        return Urgency.NONE


R = TypeVar("R", bound=ReportRow, covariant=True)


@dataclass(frozen=True, slots=True)
class Report(Generic[R]):
    """A report's answer: its rows, in the order to be shown in, and their columns.

    `note` is what a reader must know to understand the rows, a sentence without its full stop; "" if there is nothing.
    """

    name: str
    title: str
    row_type: type[R]
    rows: Sequence[R]
    note: str = ""

    @property
    def columns(self) -> Sequence[ColumnInfo]:
        """The columns, in order. Computed on each access: ask once, not for each row."""
        return [
            ColumnInfo(name, mark.title, mark.kind, mark.spare)
            for name, hint in get_type_hints(self.row_type, include_extras=True).items()
            for mark in getattr(hint, "__metadata__", ())
            if isinstance(mark, Heading)
        ]


class Bucket(StrEnum):
    """The ways in which the activity report adds up."""

    HOUR = "hour"
    DAY = "day"
    UPSTREAM = "upstream"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a report. Moments are in UTC; None means no restriction.

    `machine` is a name or an address in which `*` stands for any text, `network` a network that contains the
    machine's, `days` the number of days `expiring` and `silent` are about.
    """

    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    machine: str | None = None
    network: str | None = None
    product: str | None = None
    upstream: str | None = None
    days: int | None = None
    by: Bucket = Bucket.DAY


@dataclass(frozen=True, slots=True)
class LongReport(Generic[R]):
    """A report whose rows are read while they are used, never all at once; `head` is the report without its rows.

    `total` is how many rows there are; `rows` may have fewer if not all were asked for.
    """

    head: Report[R]
    rows: Iterator[R]
    total: int


@dataclass(frozen=True, slots=True)
class ReportDefinition:
    """The definition of a report: its name, its subject, its function, and the query fields that it uses.

    A report with a row for each machine can be asked `at_length`, for a number of rows (None for all).
    """

    name: str
    summary: str
    ask: Callable[[Reader, Query], Report[ReportRow]]
    heeds: frozenset[str]
    at_length: Callable[[Reader, Query, int | None], LongReport[ReportRow]] | None = None

    ALL: ClassVar[frozenset[str]] = frozenset({"since", "until", "machine", "network", "product", "upstream"})


def moment(milliseconds: int) -> datetime:
    """A stored time as a moment."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def maybe_moment(milliseconds: int | None) -> datetime | None:
    """A stored time, where there is one, as a moment."""
    return None if milliseconds is None else moment(milliseconds)


def in_days(days: int) -> str:
    """A number of days in words."""
    return "1 day" if days == 1 else f"{days} days"


def as_day(when: datetime) -> str:
    """The day of a moment, in UTC, as people read it."""
    return when.date().isoformat()


def to_ms(when: datetime) -> int:
    """A moment as it is stored."""
    return int(when.timestamp() * 1000)
