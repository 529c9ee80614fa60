"""A reload that comes while a worker is being started reaches it, and ends nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.ports import free_port
from tests.system.gateway_process import start_gateway, upstream
from tests.system.running import fields


def test_a_worker_that_is_being_started_takes_a_reload_when_it_can(tmp_path: Path) -> None:
    configuration = upstream(free_port(), "kms1")
    with start_gateway(tmp_path, configuration, "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        os.kill(int(fields(gateway.wait_for(" worker-started "))["worker_pid"]), signal.SIGKILL)
        gateway.wait_for(" worker-started ", 3)
        (tmp_path / "kmstwist.toml").write_text("[admission]\nclient_rate = 5\n" + configuration)
        os.kill(gateway.process.pid, signal.SIGHUP)
        gateway.wait_for(" listening ", 3)
        gateway.wait_for(r" config .*changed=admission\.client_rate", 2)
        assert gateway.stop() == 0
        assert len([line for line in gateway.lines if " worker-ended " in line]) == 1
