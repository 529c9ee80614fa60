"""The announcements when the server starts: for people the first log lines, for systemd that it is ready."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger

from kmstwist import __version__
from kmstwist.addresses import HostPort
from kmstwist.configuration.derived import lab_key_file, server_name, state_dir, workers_dir
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config
from kmstwist.configuration.whereabouts import Whereabouts
from kmstwist.lab.keys import LabKeyError
from kmstwist.logevents import AS_ROOT, GATEWAY, HINT, LAB, STARTING, TOOK_OVER
from kmstwist.process.control_client import socket_path
from kmstwist.process.handover import TakeOver
from kmstwist.process.listening import Listeners
from kmstwist.process.readiness import Notifier, one_listens
from kmstwist.reactor import Reactor
from kmstwist.system.privileges import ever_root

if TYPE_CHECKING:
    from kmstwist.lab.service import LabService

_log = Logger(namespace="kmstwist.server")

#: Addresses that stand for every address of the machine; commands ask the loopback one then, as they do untold.
_EVERYWHERE = ("::", "0.0.0.0")  # noqa: S104
_LOOPBACK = "127.0.0.1"
#: Endpoints where a plain connection, which is all our commands make, is not what they wait for.
_WRAPPED = ("haproxy:", "ssl:")


class Announcement(MultiService):
    """Logs what runs when the server starts."""

    def __init__(
        self,
        config: Config,
        lab: LabService | None,
        reactor: Reactor,
        listeners: Listeners,
        predecessor: TakeOver | None = None,
        *,
        answers: bool,
    ) -> None:
        """`lab` is None in a gateway. `listeners` are those whose ports are told, once they are open; `predecessor` is
        the server whose place this one takes. `answers` says whether this process answers clients: a supervisor's
        workers do."""
        super().__init__()
        ready = (lambda: True) if answers else (lambda: one_listens(_worker_sockets(config)))
        Notifier(reactor, answers=ready).setServiceParent(self)
        self._config = config
        # Evaluated now: the user that a daemon becomes has another default.
        self._state_dir = state_dir(config)
        self._usual_folder, self._usual_port = _untold()
        self._lab = lab
        self._reactor = reactor
        self._listeners = listeners
        self._predecessor = predecessor

    def startService(self) -> None:
        """Log what runs, and what to try next."""
        super().startService()
        lab = self._lab
        STARTING.emit(
            _log,
            version=__version__,
            mode="gateway" if lab is None else "lab",
            python=platform.python_version(),
            pid=os.getpid(),
        )
        if ever_root():
            AS_ROOT.emit(_log, cure="start it as a user of its own, or with twistd --uid=USER")
        if self._predecessor is not None:
            TOOK_OVER.emit(_log, waited_ms=round(self._predecessor.waited * 1000))
        if lab is not None:
            self._reactor.callWhenRunning(self._say_lab, lab)
            self._hint(self._activate_command)
        else:
            gateway = self._config.gateway
            GATEWAY.emit(
                _log,
                upstreams=",".join(upstream.label for upstream in gateway.upstreams),
                discover=gateway.discover,
                policy=gateway.policy,
                deadline_s=gateway.deadline,
            )
            self._hint(lambda where: f"probe {where}")

    def _say_lab(self, lab: LabService) -> None:
        """Name the lab's host, whose id takes a moment to derive, in which clients can connect already."""
        LAB.emit(
            _log,
            host_id=lab.host.host_id,
            key=str(lab_key_file(self._config)),
            clients=lab.remembered,
            note="rehearsal only: the lab grants no licences",
        )

    def _hint(self, command: Callable[[HostPort], str]) -> None:
        """Say what to try, once the ports are open; nothing where none of them is one that our commands can ask."""

        def say() -> None:
            where = self._where()
            if where is not None:
                HINT.emit(_log, **{"try": f"{kmstwist_command()} {command(where)}"})

        self._reactor.callWhenRunning(say)

    def _activate_command(self, where: HostPort) -> str:
        """The command to try a lab on this machine."""
        words = ["lab", "activate"]
        if self._state_dir != self._usual_folder:
            words.append(f"--state-dir {shlex.quote(str(self._state_dir.absolute()))}")
        if where.host != _LOOPBACK:
            words.append(f"--host {where.host}")
        if where.port != self._usual_port:
            words.append(f"--port {where.port}")
        return " ".join([*words, "--product 'Windows 11 / 10 Enterprise' --count 30"])

    def _where(self) -> HostPort | None:
        """Where the first TCP port can be asked: the port that was got, whatever was asked for, or inherited."""
        for description, port in self._listeners.ports:
            host = port.getHost()
            if isinstance(host, IPv4Address | IPv6Address) and not description.startswith(_WRAPPED):
                return HostPort(_LOOPBACK if host.host in _EVERYWHERE else host.host, host.port)
        return None


def _worker_sockets(config: Config) -> list[Path]:
    """The workers' control sockets: a worker that has its own also answers clients."""
    name = server_name(config)
    return [socket_path(workers_dir(config), name, number) for number in range(1, config.server.workers + 1)]


def kmstwist_command() -> str:
    """How to type the `kmstwist` command here: with its path if it is not on PATH."""
    if shutil.which("kmstwist"):
        return "kmstwist"
    beside = Path(sys.executable).parent / "kmstwist"
    return os.path.relpath(beside) if beside.exists() else "kmstwist"


def _untold() -> tuple[Path | None, int | None]:
    """The state folder and the port that a command uses without options; None if it needs options."""
    usual = Whereabouts()
    try:
        return usual.state_dir.value, usual.port.value
    except (ConfigError, LabKeyError):
        return None, None
