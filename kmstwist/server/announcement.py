"""What is said when the server starts: to people the lines they read first, to systemd that it is ready."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from kmstwist import __version__
from kmstwist.gateway.service import GatewayService
from kmstwist.lab.keys import KEY_FILE_NAME
from kmstwist.lab.service import LabService
from kmstwist.logevents import GATEWAY, HINT, LAB, STARTING, TOOK_OVER
from kmstwist.server.activators import run_dir, state_dir
from kmstwist.server.config import Config
from kmstwist.server.control import socket_path
from kmstwist.server.handover import TakeOver
from kmstwist.server.notify import Notifier, one_listens

_log = Logger(namespace="kmstwist.server")


class Announcement(MultiService):
    """Says what runs when it is started."""

    def __init__(
        self,
        config: Config,
        activator: LabService | GatewayService | None,
        reactor: Any,
        predecessor: TakeOver | None = None,
    ) -> None:
        """`activator` is None in a supervisor, whose workers answer. `predecessor` is the server whose place this
        one takes."""
        super().__init__()
        answers = (lambda: True) if activator is not None else (lambda: one_listens(_worker_sockets(config)))
        Notifier(reactor, answers=answers).setServiceParent(self)
        self._config = config
        self._activator = activator
        self._reactor = reactor
        self._predecessor = predecessor

    def startService(self) -> None:
        """Say what runs, and what to try next."""
        super().startService()
        activator = self._activator
        is_lab = isinstance(activator, LabService)
        STARTING.emit(
            _log,
            version=__version__,
            mode="lab" if is_lab else "gateway",
            python=platform.python_version(),
            pid=os.getpid(),
        )
        if self._predecessor is not None:
            TOOK_OVER.emit(_log, waited_ms=round(self._predecessor.waited * 1000))
        port = self._config.server.port
        if isinstance(activator, LabService):
            LAB.emit(
                _log,
                host_id=activator.host.host_id,
                key=str(state_dir(self._config) / KEY_FILE_NAME),
                clients=activator.remembered,
                note="rehearsal only: the lab grants no licences",
            )
            self._hint(f"lab activate {_port_option(port)}--product 'Windows 11 / 10 Enterprise' --count 30")
        else:
            gateway = self._config.gateway
            GATEWAY.emit(
                _log,
                upstreams=",".join(upstream.label for upstream in gateway.upstreams),
                discover=gateway.discover,
                policy=gateway.policy,
                deadline_s=gateway.deadline,
            )
            self._hint(f"probe 127.0.0.1:{port}")

    def _hint(self, command: str) -> None:
        """Say what to try, once the ports are open."""
        self._reactor.callWhenRunning(lambda: HINT.emit(_log, **{"try": f"{kmstwist_command()} {command}"}))


def _worker_sockets(config: Config) -> list[Path]:
    """The workers' control sockets: a worker that has its own answers clients too."""
    server = config.server
    return [socket_path(run_dir(config), server.port, number) for number in range(1, server.workers + 1)]


def kmstwist_command() -> str:
    """How the `kmstwist` command is typed here: by its path where it is not on PATH."""
    if shutil.which("kmstwist"):
        return "kmstwist"
    beside = Path(sys.executable).parent / "kmstwist"
    return os.path.relpath(beside) if beside.exists() else "kmstwist"


def _port_option(port: int) -> str:
    return "" if port == 1688 else f"--port {port} "
