"""The first page: the health and since when, how much, how quick, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from kmstwist.audit.reports.count import CountRow, count
from kmstwist.audit.reports.model import Query, Urgency
from kmstwist.audit.views.activity import Range, StepRow, steps
from kmstwist.audit.views.calls import CallRow, Which, latest_calls
from kmstwist.audit.views.hosts import Asked, asked
from kmstwist.audit.views.overview import Numbers, Today, numbers, today
from kmstwist.telemetry.counters import LabState
from kmstwist.web.view import Asking, Question, View
from kmstwist.web.views.parameters import Nothing
from kmstwist.web.views.rows import FindingRow, HostRow, LatencyRow, finding_row, host_rows, latency_row
from kmstwist.web.watch import at

#: The calls that the first page shows.
LATEST = 20
#: The KMS hosts that it shows; there are more on their own page.
HOSTS = 16


class SpanQuestion(Question):
    """How far back the chart of activations goes."""

    range: Range = Field(Range.DAY, description="How far back: a day, a week or 90 days.")


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the first page. The audit's parts are None or empty if it is off.

    `health` is healthy, degraded or down; `since` is when it became so, as far as is known.
    """

    mode: str
    health: str
    since: datetime
    started: datetime
    findings: Sequence[FindingRow]
    connections: int
    workers: int
    workers_wanted: int
    hosts: Sequence[HostRow]
    lab: LabState | None
    latency: Sequence[LatencyRow]
    audit: bool
    numbers: Numbers | None
    today: Today | None
    activity: Sequence[StepRow]
    count: Sequence[CountRow]
    count_note: str
    calls: Sequence[CallRow]

    @property
    def wants_attention(self) -> bool:
        """Whether a tile below the state counts what somebody should look at."""
        n = self.numbers
        return n is not None and any((n.expiring, n.expired, n.never, n.silent, n.shared_cmids, n.strangers))

    @property
    def first_hosts(self) -> Sequence[HostRow]:
        """As many of the hosts as the page shows."""
        return self.hosts[:HOSTS]


def overview(asking: Asking, question: SpanQuestion) -> Overview:
    """Look at everything."""
    status, store = asking.status, asking.store
    snapshot = status.snapshot
    counted = None if store is None else _count(asking)
    return Overview(
        mode=snapshot.mode,
        health=status.health.word,
        since=at(status.since),
        started=at(snapshot.started),
        findings=[finding_row(snapshot, each) for each in status.standing],
        connections=snapshot.connections,
        workers=snapshot.workers,
        workers_wanted=snapshot.workers_wanted,
        hosts=_hosts(asking) if snapshot.mode == "gateway" else [],
        lab=snapshot.lab,
        latency=[latency_row(each) for each in status.latency],
        audit=store is not None,
        numbers=None if store is None else _numbers(asking),
        today=None if store is None else _today(asking),
        activity=[] if store is None else _steps(asking, question.range),
        count=[] if counted is None else counted[0],
        count_note="" if counted is None else counted[1],
        calls=[] if store is None else latest_calls(store, Which(), LATEST),
    )


def _numbers(asking: Asking) -> Numbers:
    return asking.keep("numbers", lambda asking: numbers(asking.connection, asking.now))


def _today(asking: Asking) -> Today:
    return asking.keep("today", lambda asking: today(asking.connection, asking.now))


def _hosts(asking: Asking) -> list[HostRow]:
    """All hosts; if there are many, those with problems come first."""
    rows = host_rows(asking.status.snapshot, None if asking.store is None else _asked(asking))
    return rows if len(rows) <= HOSTS else sorted(rows, key=lambda row: row.urgency is Urgency.GOOD)


def _steps(asking: Asking, span: Range) -> list[StepRow]:
    return asking.keep(f"steps {span}", lambda asking: steps(asking.connection, span, asking.now))


def _asked(asking: Asking) -> dict[str, Asked]:
    # The same hours as the numbers of a day above them.
    return asking.keep("asked today", lambda asking: asked(asking.connection, asking.now - timedelta(hours=23)))


def _count(asking: Asking) -> tuple[list[CountRow], str]:
    def work(asking: Asking) -> tuple[list[CountRow], str]:
        report = count(asking.connection, Query(asking.now))
        return list(report.rows), report.note

    return asking.keep("count", work)


@dataclass(frozen=True, slots=True)
class Steps:
    """The calls of each step of the range."""

    range: Range
    rows: Sequence[StepRow]


@dataclass(frozen=True, slots=True)
class LatencyAnswer:
    """How quick answers were since `watched`, in steps of five minutes; the last step is not over yet."""

    watched: datetime
    rows: Sequence[LatencyRow]


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """The count of each application against what its clients need; `note` is what one must know to read it right."""

    note: str
    rows: Sequence[CountRow]


def _latency(asking: Asking, question: Nothing) -> LatencyAnswer:
    return LatencyAnswer(at(asking.status.watched), [latency_row(each) for each in asking.status.latency])


def _counted(asking: Asking, question: Nothing) -> CountAnswer:
    rows, note = _count(asking)
    return CountAnswer(note, rows)


VIEWS = (
    View(
        "overview",
        "Overview",
        "How things stand: health and since when, numbers of a day, hosts, counts, the last calls.",
        SpanQuestion,
        Overview,
        overview,
        template="overview.html",
    ),
    View(
        "steps",
        "Activations and refusals",
        "Activations and refusals of each hour (of each day for 90 days).",
        SpanQuestion,
        Steps,
        lambda asking, question: Steps(question.range, _steps(asking, question.range)),
        row_type=StepRow,
        rows=lambda answer: answer.rows,
    ),
    View(
        "latency",
        "Time to an answer",
        "How quick answers were in each five minutes of the last day.",
        Nothing,
        LatencyAnswer,
        _latency,
        row_type=LatencyRow,
        rows=lambda answer: answer.rows,
    ),
    View(
        "count",
        "Client count",
        "Distinct clients in 30 days against the thresholds, with a forecast.",
        Nothing,
        CountAnswer,
        _counted,
        row_type=CountRow,
        rows=lambda answer: answer.rows,
        slow=True,
    ),
)
