"""Is it healthy? One judgement, for the readiness check, the metrics and the status page alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kmstwist.telemetry.counters import Snapshot


class Health(IntEnum):
    """From well to down. `DEGRADED` answers clients, but somebody should look."""

    HEALTHY = 0
    DEGRADED = 1
    DOWN = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, in a sentence."""

    health: Health
    text: str


def judge(snapshot: Snapshot) -> list[Finding]:
    """What is wrong, the worst first; nothing where all is well."""
    findings = []
    if snapshot.workers == 0:
        findings.append(Finding(Health.DOWN, "no worker runs"))
    elif snapshot.workers < snapshot.workers_wanted:
        text = f"{snapshot.workers} of {snapshot.workers_wanted} workers answer"
        findings.append(Finding(Health.DEGRADED, text))
    if snapshot.paused:
        text = "paused by the administrator: clients are told to come back (kmstwist gateway resume)"
        findings.append(Finding(Health.DOWN, text))
    if snapshot.mode == "gateway":
        findings += _upstreams(snapshot)
    for domain, problem in snapshot.published.items():
        if problem:
            findings.append(Finding(Health.DEGRADED, f"our record in {domain} could not be published: {problem}"))
    for domain, strangers in snapshot.strangers.items():
        if strangers:
            text = f"DNS names KMS hosts in {domain} that nobody configured: {', '.join(strangers)}"
            findings.append(Finding(Health.DEGRADED, text))
    if snapshot.audit.get("failing"):
        text = f"the audit's store cannot be written; {snapshot.audit.get('waiting', 0)} records wait"
        findings.append(Finding(Health.DEGRADED, text))
    return sorted(findings, key=lambda finding: -finding.health)


def _upstreams(snapshot: Snapshot) -> list[Finding]:
    if snapshot.workers == 0:
        return []
    if not snapshot.upstreams:
        return [Finding(Health.DOWN, "no KMS host is known (none configured, or DNS names none)")]
    bad = [
        f"{one.name} is {one.state}" + (f" ({one.detail})" if one.detail else "")
        for one in snapshot.upstreams
        if not one.serves
    ]
    if len(bad) == len(snapshot.upstreams):
        return [Finding(Health.DOWN, "no KMS host answers: " + "; ".join(bad))]
    return [Finding(Health.DEGRADED, text) for text in bad]


def overall(findings: list[Finding]) -> Health:
    """The worst of them."""
    return max((finding.health for finding in findings), default=Health.HEALTHY)
