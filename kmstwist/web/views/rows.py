"""The rows that come from the running server and not from its audit: hosts, latency, findings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from kmstwist.audit.reports.model import Heading, Kind, ReportRow, Urgency
from kmstwist.audit.views.hosts import Asked
from kmstwist.findings import Finding
from kmstwist.telemetry.counters import Snapshot, UpstreamState
from kmstwist.telemetry.server_health import HOST, HOSTS, STRANGERS
from kmstwist.web.watch import Latency, Standing, at

_URGENCY = {"up": Urgency.GOOD, "warming": Urgency.GOOD, "trying": Urgency.URGENT, "down": Urgency.LOST}


@dataclass(frozen=True, slots=True)
class FindingRow(ReportRow):
    """Something that is wrong, and since when, as far as is known.

    `finding` says what is wrong and `detail` says more; `cure` says what to do, and `command` is the command for it.
    """

    health: Annotated[str, Heading("Health")]
    finding: Annotated[str, Heading("Finding")]
    detail: Annotated[str, Heading("Detail")]
    cure: Annotated[str, Heading("What to do")]
    command: Annotated[str, Heading("Command")]
    since: Annotated[datetime, Heading("Since", Kind.TIME)]


@dataclass(frozen=True, slots=True)
class HostRow(ReportRow):
    """A KMS host behind the gateway, or one that only the records know (`state` is "" then).

    `share` is its part of the calls among the hosts of its priority; 0 while it gets none. `command` drains or resumes
    it. `granted`, `refused` and `mean_ms` come from the audit, for the days asked for; None if the audit is off.
    """

    name: Annotated[str, Heading("KMS host", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME, spare=True)]
    state: Annotated[str, Heading("State")]
    priority: Annotated[int | None, Heading("Priority", Kind.NUMBER)]
    weight: Annotated[int | None, Heading("Weight", Kind.NUMBER)]
    share: Annotated[float | None, Heading("Share", Kind.SHARE)]
    changed: Annotated[datetime | None, Heading("Since", Kind.TIME)]
    checked: Annotated[datetime | None, Heading("Last check", Kind.TIME)]
    last_error: Annotated[str, Heading("Last error")]
    last_error_at: Annotated[datetime | None, Heading("Last error at", Kind.TIME, spare=True)]
    connections: Annotated[int | None, Heading("Connections", Kind.NUMBER, spare=True)]
    waiting: Annotated[int | None, Heading("Calls waiting", Kind.NUMBER, spare=True)]
    granted: Annotated[int | None, Heading("Activations", Kind.NUMBER)]
    refused: Annotated[int | None, Heading("Refusals", Kind.NUMBER)]
    mean_ms: Annotated[float | None, Heading("Mean answer ms", Kind.NUMBER)]
    last_call: Annotated[datetime | None, Heading("Last call in the hour from", Kind.TIME, spare=True)]
    command: Annotated[str, Heading("Command", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """Urgent if the host does not answer."""
        return _URGENCY.get(self.state, Urgency.NONE)


@dataclass(frozen=True, slots=True)
class LatencyRow(ReportRow):
    """The answers from `at` on: within how many milliseconds half, 95 % and 99 % of them came.

    A time is None if there was no answer, or if it took more than 10 seconds.
    """

    at: Annotated[datetime, Heading("From", Kind.TIME)]
    half_ms: Annotated[float | None, Heading("Half within ms", Kind.NUMBER)]
    most_ms: Annotated[float | None, Heading("95 % within ms", Kind.NUMBER)]
    nearly_all_ms: Annotated[float | None, Heading("99 % within ms", Kind.NUMBER)]
    calls: Annotated[int, Heading("Answers", Kind.NUMBER)]


def finding_row(snapshot: Snapshot, standing: Standing) -> FindingRow:
    """A finding as a row of the status page."""
    finding = standing.finding
    hosts = {one.name: one for one in snapshot.upstreams}
    if finding.check == HOST and (host := hosts.get(finding.subject)) is not None:
        words = _of_host(host)
    elif finding.check == HOSTS and snapshot.upstreams:
        detail = "; ".join(f"{one.name}: {one.detail or one.state}" for one in snapshot.upstreams)
        words = "no KMS host has answered", detail, _LOOK, _probe(snapshot.upstreams[0])
    elif finding.check == HOSTS:
        cure = "Add your KMS host to [[gateway.upstreams]] in the configuration."
        words = finding.what, finding.detail, cure, ""
    else:
        words = finding.what, finding.detail, *_cure_of(finding)
    return FindingRow(finding.health.word, *words, at(standing.since))


def _cure_of(finding: Finding) -> tuple[str, str]:
    """What to do about a finding, and the command for it."""
    if finding.check == STRANGERS:
        return "If it is yours, add it to [[gateway.upstreams]]; if not, delete its _vlmcs._tcp record.", ""
    if not finding.remedy:
        return _CURES.get(finding.check, ("", ""))
    return finding.cure, finding.command


def _of_host(host: UpstreamState) -> tuple[str, str, str, str]:
    if host.state == "drained":
        resume = f"kmstwist upstreams undrain {shlex.quote(host.name)}"
        return f"{host.name} is drained", "It gets no calls", "To put it back into use", resume
    return f"{host.name} has not answered", host.detail, _LOOK, _probe(host)


#: What to do about findings without a cure of their own.
_CURES = {
    "audit": ("Find out what is wrong", "kmstwist doctor"),
    "central store": ("Find out what is wrong", "kmstwist doctor"),
}
_LOOK = "Check that it is running and that its port can be reached from here"


def _probe(host: UpstreamState) -> str:
    return f"kmstwist probe {shlex.quote(host.address or host.name)}"


def latency_row(latency: Latency) -> LatencyRow:
    """One step of the latency's history as a row."""
    return LatencyRow(at(latency.at), _ms(latency.half), _ms(latency.most), _ms(latency.nearly_all), latency.calls)


def host_rows(snapshot: Snapshot, audit: Mapping[str, Asked] | None) -> list[HostRow]:
    """The present hosts in order, then those that only the records know.

    `audit` has each host's calls; None without an audit, or if its store cannot be read: the numbers are None then.
    """
    asked = audit or {}
    none = None if audit is None else 0
    rows = [_host_row(snapshot, one, asked.get(one.name), none) for one in snapshot.upstreams]
    known = {one.name for one in snapshot.upstreams}
    rows.sort(key=lambda row: (row.priority or 0, row.name))
    return rows + [_past_row(name, numbers) for name, numbers in sorted(asked.items()) if name not in known]


def _host_row(snapshot: Snapshot, one: UpstreamState, numbers: Asked | None, none: int | None) -> HostRow:
    # The best priority with a host that serves gets all calls, by weight.
    serving = [each for each in snapshot.upstreams if each.serves]
    best = min((each.priority for each in serving), default=None)
    weights = sum(each.effective_weight for each in serving if each.priority == best)
    share = one.effective_weight / weights if one.serves and one.priority == best and weights else 0.0
    verb = "undrain" if one.state == "drained" else "drain"
    return HostRow(
        name=one.name,
        address=one.address,
        state=one.state,
        priority=one.priority,
        weight=one.weight,
        share=share,
        changed=_maybe(one.changed),
        checked=_maybe(one.checked),
        last_error=one.detail or one.last_error,
        last_error_at=_maybe(one.last_error_at),
        connections=one.idle + one.busy,
        waiting=one.waiting,
        granted=none if numbers is None else numbers.granted,
        refused=none if numbers is None else numbers.refused,
        mean_ms=None if numbers is None else numbers.mean_ms,
        last_call=None if numbers is None else numbers.last,
        command=f"kmstwist upstreams {verb} {shlex.quote(one.name)}",
    )


def _past_row(name: str, numbers: Asked) -> HostRow:
    return HostRow(
        name=name,
        address="",
        state="",
        priority=None,
        weight=None,
        share=None,
        changed=None,
        checked=None,
        last_error="",
        last_error_at=None,
        connections=None,
        waiting=None,
        granted=numbers.granted,
        refused=numbers.refused,
        mean_ms=numbers.mean_ms,
        last_call=numbers.last,
        command="",
    )


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else at(seconds)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or seconds == float("inf") else round(seconds * 1000, 3)
