"""A gateway that serves nobody says so to every management client of RPC, and a probe of it is not an OK."""

from __future__ import annotations

from pathlib import Path

from tests.ports import free_port
from tests.system.running import Server, kmstwist
from tests.waiting import wait_until


def verdict(port: int, *options: str) -> tuple[int, str]:
    result = kmstwist("probe", f"127.0.0.1:{port}", *options)
    return result.returncode, result.stdout.splitlines()[0].partition(" | ")[0]


def test_a_probe_is_critical_if_nobody_can_activate(tmp_path: Path) -> None:
    dead = free_port()
    with (
        Server(tmp_path / "lab") as lab,
        Server(tmp_path / "gateway", f"--upstream=127.0.0.1:{lab.port}", f"--upstream=127.0.0.1:{dead}") as gateway,
    ):
        well = (0, f"KMS OK - 127.0.0.1:{gateway.port}: a KMS host answers and listens")
        nobody = (
            2,
            f"KMS CRITICAL - 127.0.0.1:{gateway.port}: something answers, but no KMS host behind it serves calls now: "
            "all are down or drained, or it is paused",
        )
        assert verdict(gateway.port) == well
        some = f"KMS WARNING - 127.0.0.1:{gateway.port}: a gateway answers, and 1 of its 2 hosts answered"
        assert verdict(gateway.port, "--through") == (1, some)
        status, said = verdict(lab.port, "--through")
        assert (status, "lab answers for itself" in said) == (3, True)
        where = ("--port", str(gateway.port), "--run-dir", str(gateway.state_dir))
        assert kmstwist("gateway", "pause", *where).returncode == 0
        assert verdict(gateway.port) == nobody
        assert kmstwist("gateway", "resume", *where).returncode == 0
        assert verdict(gateway.port) == well
        assert kmstwist("upstreams", "drain", f"127.0.0.1:{lab.port}", *where).returncode == 0
        gateway.wait_for(rf"upstream-down upstream=127\.0\.0\.1:{dead}")
        assert verdict(gateway.port) == nobody
        assert kmstwist("upstreams", "undrain", f"127.0.0.1:{lab.port}", *where).returncode == 0
        assert verdict(gateway.port) == well
        lab.kill()
        # The pool sees its connections end.
        wait_until(lambda: verdict(gateway.port) == nobody)
