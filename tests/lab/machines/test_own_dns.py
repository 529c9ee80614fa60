"""A lab machine with a DNS server of its own: a real BIND 9, the only one that knows the lab's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.discovery.named import StartNamed, start_named
from tests.system.running import Server, kmstwist

__all__ = ["start_named"]
pytestmark = pytest.mark.needs("named", "dig")

ZONE = """\
_vlmcs._tcp IN SRV 0 0 {port} kms.corp.test.
kms         IN A   127.0.0.9
kms         IN A   127.0.0.1
"""
WINDOWS = "Windows 11 / 10 Enterprise"
TOO_FEW = "0xC004F038"
UNREACHED = "0xC004F074"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "lab") as server:
        yield server
        server.stop()


@pytest.fixture
def slmgr(start_named: StartNamed, lab: Server, tmp_path: Path) -> Callable[..., str]:
    """Runs slmgr on a machine of corp.test that asks this BIND; what it printed."""
    named = start_named({"corp.test": ZONE.format(port=lab.port)})
    state = f"--state-dir={tmp_path / 'lab'}"
    product = f"--product={WINDOWS}"
    made = kmstwist("lab", "machine", "new", "PC1", product, "--domain=corp.test", f"--dns={named.server}", state)
    assert made.returncode == 0, made.stderr

    def run(*words: str) -> str:
        done = kmstwist("lab", "slmgr", "PC1", *words, state)
        return done.stdout + done.stderr

    return run


def test_the_host_that_dns_names_is_resolved_by_the_machines_own_server(
    slmgr: Callable[..., str], lab: Server, tmp_path: Path
) -> None:
    # Nobody listens at the first of its two addresses.
    assert TOO_FEW in slmgr("/ato")
    state = f"--state-dir={tmp_path / 'lab'}"
    assert f", kms.corp.test:{lab.port}, " in kmstwist("lab", "events", "PC1", state).stdout
    kmstwist("lab", "activate", f"--product={WINDOWS}", "--count=25", f"--port={lab.port}", state)
    assert "activated successfully" in slmgr("/ato")
    # The host that worked is asked again, without a lookup of the SRV record.
    slmgr("/skms-domain", "gone.test")
    assert "activated successfully" in slmgr("/ato")


def test_a_host_set_by_hand_is_resolved_by_it_too(slmgr: Callable[..., str], lab: Server) -> None:
    for name in ("KMS.Corp.Test.", "kms", "localhost"):
        slmgr("/skms", f"{name}:{lab.port}")
        assert TOO_FEW in slmgr("/ato"), name
    slmgr("/skms", f"gone.corp.test:{lab.port}")
    assert UNREACHED in slmgr("/ato")
