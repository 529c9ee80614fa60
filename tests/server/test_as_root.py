"""A server that is root for good says so, once, at its start; one that drops root does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.running import Server


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be it for good")
def test_a_server_that_stays_root_warns_once(tmp_path: Path) -> None:
    with Server(tmp_path / "state") as server:
        server.stop()
        said = [line for line in server.lines if " as-root " in line]
    assert len(said) == 1
    assert " warn as-root cure=" in said[0]
