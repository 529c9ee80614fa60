"""The site's short memory: since when each finding has lasted, and how quick answers were.

A snapshot shows the present. `Watch` takes one every few seconds, and keeps what a page needs of the earlier ones: when
each finding was first made, and the latency histogram of every five minutes of the last day. This is kept in memory:
after a restart it starts again, and the pages say so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from kmstwist.findings import Finding, Health, overall
from kmstwist.telemetry.counters import Histogram, Snapshot
from kmstwist.telemetry.server_health import HOST, HOSTS, judge

#: Returns the snapshot to show, at once or in a Deferred.
Source = Callable[[], "Snapshot | Deferred[Snapshot]"]

#: For how many seconds a snapshot is good enough for another page.
FRESH = 1.0
#: Seconds between two snapshots when nobody asks.
EVERY = 5.0
#: Seconds of one step of the latency's history, and how many steps are kept.
STEP, STEPS = 300.0, 288


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding, and since when it has lasted, as far as is known (seconds since 1970)."""

    finding: Finding
    since: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The answers of one step, which began at `at`: how many, and the time in which half, 95 % and 99 % of them came.

    Times are in seconds, upper bounds; infinity for more than the histogram's last bound, None without an answer.
    """

    at: float
    calls: int
    half: float | None
    most: float | None
    nearly_all: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """The server's status. `since` is when its health last changed, `watched` when the watch began."""

    snapshot: Snapshot
    now: float
    health: Health
    since: float
    watched: float
    standing: Sequence[Standing] = ()
    latency: Sequence[Latency] = ()


@dataclass(slots=True)
class _Step:
    at: float
    counts: list[int] = field(default_factory=list)


class Watch:
    """Asks the source, and remembers. `seconds` returns the time since 1970."""

    def __init__(self, source: Source, seconds: Callable[[], float]) -> None:
        self._source = source
        self._seconds = seconds
        self._began = seconds()
        self._last: Status | None = None
        self._asking: list[Deferred[Status]] | None = None
        self._since: dict[str, float] = {}
        self._health: tuple[Health, float] | None = None
        self._steps: deque[_Step] = deque(maxlen=STEPS + 1)

    def status(self, *, fresh: bool = False) -> Deferred[Status]:
        """The status now, or, unless it must be `fresh`, of at most a second ago.

        Several callers at one time share one answer.
        """
        answer: Deferred[Status] = Deferred()
        now = self._seconds()
        if not fresh and self._last is not None and 0 <= now - self._last.now < FRESH:
            answer.callback(self._last)
            return answer
        if self._asking is not None:
            self._asking.append(answer)
            return answer
        self._asking = [answer]
        asked: Deferred[Any] = maybeDeferred(self._source)
        asked.addCallback(self._told).addBoth(self._answer)
        return answer

    def _answer(self, result: Status | Failure) -> None:
        waiting, self._asking = self._asking or [], None
        for each in waiting:
            each.callback(result)

    def _told(self, snapshot: Snapshot) -> Status:
        now = self._seconds()
        findings = judge(snapshot)
        keys = {_key(finding): finding for finding in findings}
        self._since = {key: self._since.get(key, now) for key in keys}
        health = overall(findings)
        if self._health is None or self._health[0] is not health:
            # As far as the watch knows, the first health has lasted since the start.
            self._health = health, self._began if self._health is None else now
        self._remember(snapshot, now)
        standing = [
            Standing(finding, _changed(snapshot, finding) or self._since[_key(finding)]) for finding in findings
        ]
        since = self._health[1]
        if health is not Health.HEALTHY and standing:
            worst = [each.since for each in standing if each.finding.health is health]
            since = min(worst, default=since)
        self._last = Status(snapshot, now, health, since, self._began, standing, self._latency(snapshot, now))
        return self._last

    def _remember(self, snapshot: Snapshot, now: float) -> None:
        if not self._steps or now - self._steps[-1].at >= STEP:
            begins = now - now % STEP if self._steps else now
            self._steps.append(_Step(begins, list(snapshot.counters.phases["call"].counts)))

    def _latency(self, snapshot: Snapshot, now: float) -> list[Latency]:
        """The latest step is not over yet."""
        steps = [*self._steps, _Step(now, list(snapshot.counters.phases["call"].counts))]
        return [_between(before, after) for before, after in pairwise(steps)]


def at(seconds: float) -> datetime:
    """Seconds since 1970 as a moment."""
    return datetime.fromtimestamp(seconds, UTC)


def _key(finding: Finding) -> str:
    """The key by which a later finding is recognised as the same: its subject and its health."""
    return f"{finding.health} {finding.name}"


def _changed(snapshot: Snapshot, finding: Finding) -> float | None:
    """When the KMS host that a finding is about entered its state; None if it is not about a host.

    If no host answers, the time is when the last one went down.
    """
    if finding.check == HOSTS:
        return max((upstream.changed for upstream in snapshot.upstreams if upstream.changed is not None), default=None)
    for upstream in snapshot.upstreams:
        if finding.check == HOST and finding.subject == upstream.name:
            return upstream.changed
    return None


def _between(before: _Step, after: _Step) -> Latency:
    # A restarted worker counts from zero again.
    counts = [max(0, late - early) for early, late in zip(before.counts, after.counts, strict=True)]
    histogram = Histogram(counts)
    return Latency(before.at, sum(counts), histogram.quantile(0.5), histogram.quantile(0.95), histogram.quantile(0.99))
