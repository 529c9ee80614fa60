from __future__ import annotations

from kmstwist.findings import Health
from kmstwist.telemetry.counters import Counters, Snapshot, together
from kmstwist.telemetry.server_health import judge


def test_a_server_short_of_open_files_is_degraded_even_if_only_one_worker_is() -> None:
    out = Snapshot("lab", 0.0, out_of_descriptors=True)
    whole = together([Snapshot("lab", 0.0), out], retired=Counters(), wanted=2, mode="lab", started=0.0)
    for snapshot in (out, whole):
        (finding,) = judge(snapshot)
        assert finding.health is Health.DEGRADED
        assert "so few open files are left that clients wait to be accepted" in finding.text
