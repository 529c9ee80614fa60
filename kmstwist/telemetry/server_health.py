"""Whether the server is healthy: one judgement for the readiness check, the metrics and the status page."""

from __future__ import annotations

from kmstwist.findings import Finding, Health
from kmstwist.shown import counted
from kmstwist.telemetry.counters import Snapshot

#: What is examined: all KMS hosts together, one of them, our record in a domain, and the other hosts named there.
HOSTS, HOST, RECORD, STRANGERS = "hosts", "host", "record in", "hosts in"


def judge(snapshot: Snapshot) -> list[Finding]:
    """What is wrong, the worst first; empty if all is well."""
    findings = []
    if snapshot.workers == 0:
        findings.append(Finding("workers", Health.DOWN, "no worker runs"))
    elif snapshot.workers < snapshot.workers_wanted:
        text = f"{snapshot.workers} of {snapshot.workers_wanted} workers answer"
        findings.append(Finding("workers", Health.DEGRADED, text))
    if snapshot.paused:
        told = "clients are told to come back"
        findings.append(
            Finding(
                "server", Health.DOWN, "paused by the administrator", detail=told, command="kmstwist gateway resume"
            )
        )
    if snapshot.out_of_descriptors:
        text = "so few open files are left that clients wait to be accepted"
        findings.append(Finding("open files", Health.DEGRADED, text, "raise LimitNOFILE= or ulimit -n"))
    if snapshot.leaving:
        still = "clients are still answered for a few seconds"
        findings.append(Finding("server", Health.DOWN, "about to be paused or stopped", detail=still))
    if snapshot.mode == "gateway":
        findings += _upstreams(snapshot)
    for domain, problem in snapshot.published.items():
        if problem:
            text = f"our record in {domain} could not be published"
            findings.append(Finding(RECORD, Health.DEGRADED, text, detail=problem, subject=domain))
    for domain, strangers in snapshot.strangers.items():
        if strangers:
            text = f"DNS names KMS hosts in {domain} that are not configured"
            findings.append(Finding(STRANGERS, Health.DEGRADED, text, detail=", ".join(strangers), subject=domain))
    if snapshot.audit.get("failing"):
        waiting = f"{counted(snapshot.audit.get('waiting', 0), 'record')} waiting"
        findings.append(Finding("audit", Health.DEGRADED, "the audit's store cannot be written", detail=waiting))
    for target, problem in snapshot.central.items():
        if problem:
            why = f"{problem}; {counted(snapshot.audit.get('behind', 0), 'record')} waiting"
            what = f"the central store {target} cannot be fed"
            findings.append(Finding("central store", Health.DEGRADED, what, detail=why))
    return sorted(findings, key=lambda finding: -finding.health)


def _upstreams(snapshot: Snapshot) -> list[Finding]:
    if snapshot.workers == 0:
        return []
    if not snapshot.upstreams:
        none = "none is configured, and DNS names none"
        return [Finding(HOSTS, Health.DOWN, "no KMS host is known", detail=none)]
    bad = [
        (one.name, f"{one.name} is {one.state}" + (f" ({one.detail})" if one.detail else ""))
        for one in snapshot.upstreams
        if not one.serves
    ]
    if len(bad) == len(snapshot.upstreams):
        each = "; ".join(text for _, text in bad)
        return [Finding(HOSTS, Health.DOWN, "no KMS host answers", detail=each)]
    return [Finding(HOST, Health.DEGRADED, text, subject=name) for name, text in bad]
