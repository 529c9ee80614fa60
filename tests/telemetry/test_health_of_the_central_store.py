from __future__ import annotations

from kmstwist.findings import Health, overall
from kmstwist.telemetry.counters import Counters, Snapshot, together
from kmstwist.telemetry.server_health import judge
from kmstwist.web.metrics.exposition import registry_for

TARGET = "postgresql+psycopg://db.example.com/kmstwist"


def snapshot(problem: str) -> Snapshot:
    audit = {"waiting": 0, "failing": 0, "behind": 7, "connected": int(not problem)}
    return Snapshot("lab", 0.0, audit=audit, central={TARGET: problem})


def test_a_central_store_that_cannot_be_fed_is_degraded_and_says_why() -> None:
    (finding,) = judge(snapshot("password authentication failed"))
    assert finding.health is Health.DEGRADED
    assert "db.example.com" in finding.text
    assert "password authentication failed; 7 records waiting" in finding.text
    assert overall(judge(snapshot(""))) is Health.HEALTHY


def test_the_gateways_metrics_say_how_far_behind_the_central_store_is() -> None:
    samples = {
        sample.name: sample.value for metric in registry_for(snapshot("gone")).collect() for sample in metric.samples
    }
    assert samples["kmstwist_audit_forward_behind"] == 7
    assert samples["kmstwist_audit_forward_connected"] == 0


def test_of_several_workers_the_forwarding_one_reports_for_all() -> None:
    other = Snapshot("lab", 0.0, audit={"waiting": 1, "failing": 0})
    whole = together([other, snapshot("gone")], retired=Counters(), wanted=2, mode="lab", started=0.0)
    assert (whole.audit["behind"], whole.audit["connected"], whole.central) == (7, 0, {TARGET: "gone"})
    assert Snapshot.from_json(whole.to_json()).central == {TARGET: "gone"}
