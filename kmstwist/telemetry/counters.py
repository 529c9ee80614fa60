"""What the server counts, as plain numbers: cheap to count, easy to add up over several workers.

Each conversation is counted when its line is written (`kmstwist.conversation.lines`). A `Snapshot` is all that the
metrics and the status page need to know about a process at one moment; a worker sends it to its supervisor as JSON.

With workers, each process counts for itself and the supervisor adds the counts: it asks every worker when it is
scraped, and keeps the last counters of a worker that has ended, so that a restart does not make a counter fall. What a
worker counted between the last scrape and its crash is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

#: Upper bounds of the latency histogram's buckets, in seconds; the last bucket has none.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PHASES = ("bind", "call", "total")
RESULTS = ("activated", "answered", "refused", "fault", "none")
#: The most KMS hosts whose calls are kept, unless there are more at one time: DNS may name others each day.
HOSTS = 256
#: Reasons that are not counted as refusals, since nothing is wrong.
FINE = frozenset({"ok", "client-closed", "client-reserve", "client-check"})


@dataclass(slots=True)
class Histogram:
    """Durations by bucket (each count is for that bucket alone), and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def quantile(self, part: float) -> float | None:
        """The upper bound of the bucket that holds this quantile, in seconds; None without observations."""
        wanted = part * sum(self.counts)
        seen = 0
        for count, bound in zip(self.counts, (*BUCKETS, float("inf")), strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return None


@dataclass(slots=True)
class Counters:
    """The numbers that only grow."""

    conversations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    reasons: dict[str, int] = field(default_factory=dict)
    phases: dict[str, Histogram] = field(default_factory=lambda: {phase: Histogram() for phase in PHASES})
    #: The calls to each upstream, by outcome. Set them with `count_calls`, which limits their number.
    upstream_calls: dict[str, dict[str, int]] = field(default_factory=dict)
    audit: dict[str, int] = field(default_factory=dict)
    #: Messages of KMS hosts by outcome; empty if the server does not listen for any.
    events: dict[str, int] = field(default_factory=dict)

    def add(self, other: Counters) -> None:
        """Add another process's counters to these."""
        for name in ("conversations", "reasons", "audit", "events"):
            _add(getattr(self, name), getattr(other, name))
        summed = {upstream: dict(calls) for upstream, calls in other.upstream_calls.items()}
        for upstream, calls in summed.items():
            _add(calls, self.upstream_calls.get(upstream, {}))
        self.count_calls(summed)
        for phase, theirs in other.phases.items():
            histogram = self.phases[phase]
            histogram.counts = [a + b for a, b in zip(histogram.counts, theirs.counts, strict=True)]
            histogram.sum += theirs.sum

    def count_calls(self, hosts: Mapping[str, dict[str, int]]) -> None:
        """The calls to the hosts that there are now. Of earlier hosts, the latest are kept, up to `HOSTS` in all."""
        kept = {name: calls for name, calls in self.upstream_calls.items() if name not in hosts}
        surplus = max(0, len(kept) + len(hosts) - HOSTS)
        self.upstream_calls = {**dict(islice(kept.items(), surplus, None)), **hosts}

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Counters:
        """The counters from their JSON form."""
        phases = {phase: Histogram(list(one["counts"]), one["sum"]) for phase, one in raw["phases"].items()}
        return cls(**{**raw, "phases": phases})


def _add(mine: dict[str, int], theirs: Mapping[str, int]) -> None:
    for key, value in theirs.items():
        mine[key] = mine.get(key, 0) + value


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """One KMS host as the gateway sees it now. `state` is up, warming, trying, down or drained.

    `detail` is why it is down, `last_error` is what went wrong last, and `last_error_at` when. `effective_weight` is
    its weight at present, less than `weight` while it warms up. Times are seconds since 1970, None for never: `changed`
    is when it entered its state, `checked` when it was last probed.
    """

    name: str
    state: str
    detail: str = ""
    idle: int = 0
    busy: int = 0
    waiting: int = 0
    address: str = ""
    priority: int = 0
    weight: int = 0
    effective_weight: float = 1.0
    changed: float | None = None
    checked: float | None = None
    last_error: str = ""
    last_error_at: float | None = None

    @property
    def serves(self) -> bool:
        """Whether calls are sent there."""
        return self.state in ("up", "warming")


@dataclass(frozen=True, slots=True)
class LabCount:
    """A lab host's count of one application's clients: those that asked in the last 30 days, at most `most`."""

    application: str
    count: int
    most: int


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab's own KMS host. Intervals are in minutes; `requests` and `refused` count since its state was made."""

    host_id: str
    products: int
    activation_interval: int
    renewal_interval: int
    requests: int
    refused: int
    counts: list[LabCount] = field(default_factory=list)


@dataclass(slots=True)
class Snapshot:
    """A process, or all workers together, at one moment. `started` is seconds since 1970."""

    mode: str
    started: float
    counters: Counters = field(default_factory=Counters)
    connections: int = 0
    paused: bool = False
    #: Whether so few open files are left that no connection is accepted.
    out_of_descriptors: bool = False
    #: Whether clients are still answered, but soon will not be: about to be paused or stopped.
    leaving: bool = False
    upstreams: list[UpstreamState] = field(default_factory=list)
    #: Gauges of the audit: waiting (records) and failing (0 or 1), and where it is forwarded, behind (records) and
    #: connected (0 or 1). Empty where there is no audit.
    audit: dict[str, int] = field(default_factory=dict)
    #: Gauges of the listener for events: waiting (messages) and failing (0 or 1). Empty where there is none.
    events: dict[str, int] = field(default_factory=dict)
    #: The central stores that the audit is forwarded to, each with why it cannot be fed, or "" if it can.
    central: dict[str, str] = field(default_factory=dict)
    #: The domains in which to publish our SRV record, each with why it could not be published, or "" if it is there.
    published: dict[str, str] = field(default_factory=dict)
    #: For each watched domain, the KMS hosts that are in DNS but not in the configuration.
    strangers: dict[str, list[str]] = field(default_factory=dict)
    workers: int = 1
    workers_wanted: int = 1
    #: The lab's host; None in a gateway.
    lab: LabState | None = None

    def to_json(self) -> dict[str, Any]:
        """The snapshot in its JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Snapshot:
        """The snapshot from its JSON form."""
        upstreams = [UpstreamState(**one) for one in raw["upstreams"]]
        lab = None if raw["lab"] is None else LabState(**{**raw["lab"], "counts": _counts(raw["lab"]["counts"])})
        return cls(**{**raw, "counters": Counters.read(raw["counters"]), "upstreams": upstreams, "lab": lab})


def _counts(raw: Sequence[Mapping[str, Any]]) -> list[LabCount]:
    return [LabCount(**one) for one in raw]


def together(snapshots: Sequence[Snapshot], *, retired: Counters, wanted: int, mode: str, started: float) -> Snapshot:
    """All workers as one: numbers are added, and an upstream has the worst of its states among the workers.

    `retired` are the counters of workers that have ended, `wanted` is how many workers there should be.
    """
    whole = Snapshot(mode=mode, started=started, workers=len(snapshots), workers_wanted=wanted)
    whole.counters.add(retired)
    upstreams: dict[str, UpstreamState] = {}
    for one in snapshots:
        whole.counters.add(one.counters)
        whole.connections += one.connections
        whole.paused = whole.paused or one.paused
        whole.out_of_descriptors = whole.out_of_descriptors or one.out_of_descriptors
        whole.leaving = whole.leaving or one.leaving
        # One worker takes care of these for all.
        whole.published.update(one.published)
        whole.strangers.update(one.strangers)
        whole.central.update(one.central)
        for name, value in one.events.items():
            whole.events[name] = whole.events.get(name, 0) + value
        for name, value in one.audit.items():
            whole.audit[name] = (
                max(whole.audit.get(name, 0), value) if name == "failing" else (whole.audit.get(name, 0) + value)
            )
        for upstream in one.upstreams:
            known = upstreams.get(upstream.name)
            upstreams[upstream.name] = upstream if known is None else _both(known, upstream)
    whole.upstreams = list(upstreams.values())
    return whole


_FROM_WORST = ("down", "trying", "drained", "warming", "up")


def _both(one: UpstreamState, other: UpstreamState) -> UpstreamState:
    worse = min(one, other, key=lambda state: _FROM_WORST.index(state.state))
    errors = [state for state in (one, other) if state.last_error_at is not None]
    latest = max(errors, key=lambda state: state.last_error_at or 0.0, default=worse)
    return replace(
        worse,
        idle=one.idle + other.idle,
        busy=one.busy + other.busy,
        waiting=one.waiting + other.waiting,
        checked=max((each for each in (one.checked, other.checked) if each is not None), default=None),
        last_error=latest.last_error,
        last_error_at=latest.last_error_at,
    )
