"""What `twistd kms` is made of: `makeService` reads as the list of its parts.

Everything an administrator can get wrong is tried here, before twistd goes into the background: a mistake is one
sentence on the terminal and exit status 1.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger

from kmstwist import __version__
from kmstwist.gateway.service import GatewayService
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey, LabKeyError, default_state_dir
from kmstwist.lab.service import LabService
from kmstwist.lab.store import STORE_FILE_NAME, LabStore, StoreError
from kmstwist.logevents import GATEWAY, HINT, LAB, STARTING
from kmstwist.rpc.groups import AssociationGroups
from kmstwist.rpc.negotiation import Interface
from kmstwist.rpc.server import RpcServer
from kmstwist.rpc.syntax import KMS_INTERFACE
from kmstwist.server.errors import StartupError, speak_plainly
from kmstwist.server.listening import ListeningService, described_endpoint, port_endpoint, raise_file_limit, try_port
from kmstwist.server.options import Options
from kmstwist.server.protocol import KmsFactory
from kmstwist.server.signals import stop_in_order
from kmstwist.transport.endpoints import endpoint_for

__all__ = ["Options", "makeService"]

_log = Logger(namespace="kmstwist.server")


def makeService(options: Options) -> MultiService:
    """The service tree of `twistd kms`."""
    speak_plainly()
    raise_file_limit()
    reactor: Any = _reactor
    stop_in_order(reactor)
    factory = KmsFactory(
        RpcServer((Interface(KMS_INTERFACE, operations=1),), groups=AssociationGroups(_random_group_id())),
        reactor,
        idle_timeout=options["idle-timeout"],
        max_connections=options["max-connections"],
    )
    try:
        activator = _make_gateway(options, reactor) if options.upstreams else _make_lab(options, reactor)
        listening = ListeningService(_endpoints(options, reactor), factory, reactor)
    except StartupError as error:
        sys.exit(f"kmstwist: {error}")
    factory.activator = activator
    root = StoppingInOrder()
    Announcement(options, activator, reactor).setServiceParent(root)
    activator.setServiceParent(root)
    listening.setServiceParent(root)
    return root


class StoppingInOrder(MultiService):
    """Services that are started in order and stopped one by one in reverse.

    The listening service is stopped, and its calls are finished, while the activator still answers them.
    """

    def stopService(self) -> Deferred[None]:
        """Stop the last service first, and each when the one after it has stopped."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop_in_order())

    async def _stop_in_order(self) -> None:
        for service in reversed(self.services):
            stopped = service.stopService()
            if stopped is not None:
                await stopped


class Announcement(Service):
    """The lines a newcomer reads first."""

    def __init__(self, options: Options, activator: LabService | GatewayService, reactor: Any) -> None:
        self._options = options
        self._activator = activator
        self._reactor = reactor

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
        port = self._options["port"]
        if isinstance(activator, LabService):
            LAB.emit(
                _log,
                host_id=activator.host.host_id,
                key=str(_state_dir(self._options) / KEY_FILE_NAME),
                clients=activator.remembered,
                note="rehearsal only: the lab grants no licences",
            )
            self._hint(f"lab activate {_port_option(port)}--product 'Windows 11 / 10 Enterprise' --count 30")
        else:
            GATEWAY.emit(
                _log,
                upstreams=",".join(upstream.name for upstream in activator.upstreams),
                timeout_s=self._options["upstream-timeout"],
            )
            self._hint(f"probe 127.0.0.1:{port}")

    def _hint(self, command: str) -> None:
        """Say what to try, once the ports are open."""
        self._reactor.callWhenRunning(lambda: HINT.emit(_log, **{"try": f"{kmstwist_command()} {command}"}))


def kmstwist_command() -> str:
    """How the `kmstwist` command is typed here: by its path where it is not on PATH."""
    if shutil.which("kmstwist"):
        return "kmstwist"
    beside = Path(sys.executable).parent / "kmstwist"
    return os.path.relpath(beside) if beside.exists() else "kmstwist"


def _port_option(port: int) -> str:
    return "" if port == 1688 else f"--port {port} "


def _random_group_id() -> int:
    return int.from_bytes(os.urandom(4), "little")


def _state_dir(options: Options) -> Path:
    return options.state_dir or default_state_dir()


def _make_lab(options: Options, reactor: Any) -> LabService:
    """The lab's host with its key and memory. Raises `StartupError`."""
    state_dir = _state_dir(options)
    try:
        key = LabKey.load_or_create(state_dir / KEY_FILE_NAME, os.urandom)
        store = LabStore(state_dir / STORE_FILE_NAME)
        memory = store.load()
        store.close()
    except (LabKeyError, StoreError) as error:
        raise StartupError(str(error)) from None
    _give_away(state_dir, options)
    host = LabHost(
        key,
        now=reactor.seconds,
        random=os.urandom,
        memory=memory,
        activation_interval=options["activation-interval"],
        renewal_interval=options["renewal-interval"],
    )
    return LabService(host, store, reactor)


def _give_away(state_dir: Path, options: Options) -> None:
    """With `twistd --uid`, what was just made as root must belong to the user the daemon becomes."""
    twistd = options.twistd
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if os.geteuid() != 0 or (uid is None and gid is None):
        return
    for path in (state_dir, *state_dir.iterdir()):
        os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid, follow_symlinks=False)


def _make_gateway(options: Options, reactor: Any) -> GatewayService:
    return GatewayService(
        options.upstreams,
        lambda address, timeout: endpoint_for(reactor, address.host, address.port, timeout),
        reactor,
        timeout=options["upstream-timeout"],
    )


def _endpoints(options: Options, reactor: Any) -> list[tuple[IStreamServerEndpoint, str]]:
    """What to listen on. Raises `StartupError` where an endpoint is none or the port cannot be had."""
    if options.listen:
        return [described_endpoint(reactor, description) for description in options.listen]
    if options["port"]:
        try_port(options["port"])
    return [port_endpoint(reactor, options["port"])]
