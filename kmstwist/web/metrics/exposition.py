"""A snapshot as Prometheus metrics, by prometheus_client. All names and helps of metrics are defined here."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kmstwist import __version__
from kmstwist.audit.views.totals import Clients, Count, Success, Totals
from kmstwist.findings import overall
from kmstwist.telemetry.counters import BUCKETS, Snapshot
from kmstwist.telemetry.server_health import judge

STATES = ("up", "warming", "trying", "down", "drained")


class SnapshotCollector(Collector):
    """Collects the metrics of one snapshot, and those of the totals, if there are any."""

    def __init__(self, snapshot: Snapshot, totals: Totals | None = None) -> None:
        self._snapshot = snapshot
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from self._process()
        yield from self._conversations()
        yield from self._upstreams()
        yield from self._audit()
        yield from self._events()
        yield from self._naming()
        if self._totals is not None:
            yield from totals_metrics(self._totals)

    def _process(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        info = GaugeMetricFamily("kmstwist_build_info", "The program that runs.", labels=("version", "python", "mode"))
        info.add_metric((__version__, platform.python_version(), snapshot.mode), 1)
        yield info
        yield GaugeMetricFamily(
            "kmstwist_start_time_seconds", "When it started, in seconds since 1970.", value=snapshot.started
        )
        yield GaugeMetricFamily(
            "kmstwist_health", "0 healthy, 1 degraded, 2 down.", value=int(overall(judge(snapshot)))
        )
        yield GaugeMetricFamily("kmstwist_paused", "1 while paused by the administrator.", value=int(snapshot.paused))
        yield GaugeMetricFamily("kmstwist_workers", "Processes that answer clients.", value=snapshot.workers)
        yield GaugeMetricFamily(
            "kmstwist_workers_wanted", "Processes that should answer clients.", value=snapshot.workers_wanted
        )

    def _conversations(self) -> Iterator[Metric]:
        counters = self._snapshot.counters
        yield GaugeMetricFamily("kmstwist_connections", "Open client connections.", value=self._snapshot.connections)
        yield _counter(
            "kmstwist_conversations",
            "Conversations with clients, one for each line of the log.",
            "result",
            counters.conversations,
        )
        yield _counter(
            "kmstwist_refusals",
            "Conversations that did not end as they should, by reason code.",
            "reason",
            counters.reasons,
        )
        phases = HistogramMetricFamily(
            "kmstwist_phase_seconds",
            "Duration of a phase: bind (connection to bind acknowledged), call (request to answer), total.",
            labels=("phase",),
        )
        for phase, histogram in counters.phases.items():
            buckets, seen = [], 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
                seen += count
                buckets.append((bound, seen))
            phases.add_metric((phase,), buckets, histogram.sum)
        yield phases

    def _upstreams(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "kmstwist_upstream_state",
            "1 for the state a KMS host is in, 0 for the others.",
            labels=("upstream", "state"),
        )
        connections = GaugeMetricFamily(
            "kmstwist_upstream_connections", "Connections to a KMS host, by use.", labels=("upstream", "use")
        )
        waiting = GaugeMetricFamily(
            "kmstwist_upstream_waiting", "Calls that wait for a connection to a KMS host.", labels=("upstream",)
        )
        for upstream in self._snapshot.upstreams:
            for name in STATES:
                state.add_metric((upstream.name, name), int(upstream.state == name))
            connections.add_metric((upstream.name, "idle"), upstream.idle)
            connections.add_metric((upstream.name, "busy"), upstream.busy)
            waiting.add_metric((upstream.name,), upstream.waiting)
        calls = CounterMetricFamily(
            "kmstwist_upstream_calls",
            "Calls sent to a KMS host, by their outcome.",
            labels=("upstream", "outcome"),
        )
        for name, counts in self._snapshot.counters.upstream_calls.items():
            for outcome, count in counts.items():
                calls.add_metric((name, outcome), count)
        yield from (state, connections, waiting, calls)

    def _audit(self) -> Iterator[Metric]:
        gauges, counters = self._snapshot.audit, self._snapshot.counters.audit
        if not gauges:
            return
        yield GaugeMetricFamily("kmstwist_audit_waiting", "Records not stored yet.", value=gauges.get("waiting", 0))
        yield GaugeMetricFamily(
            "kmstwist_audit_failing", "1 while the audit's store cannot be written.", value=gauges.get("failing", 0)
        )
        if "connected" in gauges:
            yield GaugeMetricFamily(
                "kmstwist_audit_forward_behind", "Records not sent to the central store yet.", value=gauges["behind"]
            )
            yield GaugeMetricFamily(
                "kmstwist_audit_forward_connected",
                "1 while the central store takes records, 0 while it cannot be fed.",
                value=gauges["connected"],
            )
        yield _counter("kmstwist_audit_records", "Records by their outcome.", "outcome", counters)

    def _events(self) -> Iterator[Metric]:
        gauges, counters = self._snapshot.events, self._snapshot.counters.events
        if not gauges:
            return
        yield GaugeMetricFamily(
            "kmstwist_events_waiting",
            "Messages from KMS hosts that are not stored yet.",
            value=gauges.get("waiting", 0),
        )
        yield GaugeMetricFamily(
            "kmstwist_events_failing",
            "1 while KMS hosts' events cannot be written to the audit's store.",
            value=gauges.get("failing", 0),
        )
        yield _counter(
            "kmstwist_events_messages",
            "Messages from KMS hosts, by their outcome: received, and what happened to them.",
            "outcome",
            counters,
        )

    def _naming(self) -> Iterator[Metric]:
        yield _gauge(
            "kmstwist_dns_published",
            "1 if our SRV record is in this domain, 0 if it could not be published.",
            "domain",
            {domain: int(not problem) for domain, problem in self._snapshot.published.items()},
        )
        yield _gauge(
            "kmstwist_dns_strangers",
            "KMS hosts that DNS names in this domain and the configuration does not.",
            "domain",
            {domain: len(found) for domain, found in self._snapshot.strangers.items()},
        )


def _counter(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter with one label and its values."""
    return _filled(CounterMetricFamily(name, meaning, labels=(label,)), values)


def _gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with one label and its values."""
    return _filled(GaugeMetricFamily(name, meaning, labels=(label,)), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def totals_metrics(totals: Totals) -> Iterator[Metric]:
    """The metrics about activation itself."""
    yield GaugeMetricFamily(
        "kmstwist_clients_counted_timestamp_seconds",
        "When the audit was counted for the metrics about clients, since 1970; once a minute, when somebody asks.",
        value=totals.at,
    )
    clients = GaugeMetricFamily(
        "kmstwist_clients",
        "Machines' activations of a product: activated for more than 30 days to come, expiring within 30 days, "
        "expired, or never activated.",
        labels=("application", "state"),
    )
    expiring = GaugeMetricFamily(
        "kmstwist_clients_expiring",
        "Activations that end within this many days, if they are not renewed.",
        labels=("application", "days"),
    )
    silent = GaugeMetricFamily(
        "kmstwist_clients_silent", "Those of them that made no call for 14 days.", labels=("application",)
    )
    for each in totals.clients:
        for state, number in each.states.items():
            clients.add_metric((each.application, state), number)
        for days, number in each.expiring.items():
            expiring.add_metric((each.application, str(days)), number)
        silent.add_metric((each.application,), each.silent)
    yield from (clients, expiring, silent)
    yield from _counts(totals)
    success = GaugeMetricFamily(
        "kmstwist_last_success_timestamp_seconds",
        "Start of the last hour in which a KMS host activated a client of a product, since 1970; none for longer ago "
        'than 180 days. The host is "lab" for a lab\'s own, the product "unknown" where it could not be read.',
        labels=("host", "product"),
    )
    for last in totals.successes:
        success.add_metric((last.host or "lab", last.product or "unknown"), last.at)
    yield success


def _counts(totals: Totals) -> Iterator[Metric]:
    labels = ("application", "needed")
    told = {
        "least": (
            "kmstwist_client_count",
            "Distinct clients answered in the last 30 days, as a KMS host counts them.",
        ),
        "most": (
            "kmstwist_client_count_most",
            "The same, plus all whose application is not known: the count is at most this.",
        ),
        "later": (
            "kmstwist_client_count_in_30_days",
            "What kmstwist_client_count_most will be in 30 days, without new clients.",
        ),
        "needed": ("kmstwist_client_count_needed", "The count from which a KMS host activates such clients."),
    }
    for attribute, (name, meaning) in told.items():
        family = GaugeMetricFamily(name, meaning, labels=labels)
        for count in totals.counts:
            family.add_metric((count.application, str(count.needed)), getattr(count, attribute))
        yield family


#: Totals with one of each kind, for listing all metrics.
EXAMPLE_TOTALS = Totals(
    0.0,
    (Clients("Windows", {"activated": 1}, {7: 0}, 0),),
    (Count("Windows", 25, 1, 1, 1),),
    (Success("kms1", "Windows 11 / 10 Enterprise", 0),),
)


def registry_for(snapshot: Snapshot, totals: Totals | None = None, *, process: bool = True) -> CollectorRegistry:
    """A registry with the metrics of this snapshot, of the totals, and of the process (memory, CPU, open files)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot, totals))
    if process:
        ProcessCollector(registry=registry)
    return registry


def metric_names() -> set[str]:
    """Every series name that a scrape can have, for checking rules and dashboards."""
    from kmstwist.telemetry.counters import Counters, UpstreamState

    counters = Counters(reasons={"upstream-timeout": 1}, upstream_calls={"a": {"answered": 1}}, audit={"committed": 1})
    snapshot = Snapshot(
        "gateway",
        0.0,
        counters,
        upstreams=[UpstreamState("a", "up")],
        audit=dict.fromkeys(("waiting", "failing", "behind", "connected"), 0),
    )
    snapshot.published["corp.example"], snapshot.strangers["corp.example"] = "", []
    return {sample.name for metric in registry_for(snapshot, EXAMPLE_TOTALS).collect() for sample in metric.samples}
