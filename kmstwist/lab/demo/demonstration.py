"""The running demonstration: the year's KMS hosts, a gateway in front of them, its site, and some calls.

Everything is in one folder and on loopback. The gateway begins with the year's records. Machines of that year then go
on renewing, one every few seconds, so that the open page changes. Their connections come from one loopback address with
a PROXY protocol header, as from a load balancer, so that each machine keeps its address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from kmstwist.addresses import HostPort
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.defaults import STORE_FILE_NAME
from kmstwist.audit.store import insert_batch
from kmstwist.clock import now
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import V4
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.demo.history import OPAQUE, History
from kmstwist.lab.fleet.member import Member
from kmstwist.lab.fleet.processes import ServerProcess, free_ports, processes_of
from kmstwist.lab.fleet.scenario import Scenario
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import contact_over_tcp
from kmstwist.reactor import Reactor
from kmstwist.transport.errors import UpstreamError

NOTICE = "A demonstration: machines and KMS hosts are made up, and nothing here grants a licence."
#: Seconds between two calls.
PACE = 3.0
#: The address that the machines' calls come from. Other callers of the gateway need no header.
_FROM = "127.0.0.2"
_TIMEOUT = 10.0
#: How many machines ask each host before the site is shown: as many as it counts at most for Windows clients.
_COUNTED = 50
_AT_ONCE = 8
_log = Logger(namespace="kmstwist.lab.demo")


class Demonstration:
    """Set up in `folder`, which is to be empty; the site at `site`. `random` gives random bytes."""

    def __init__(self, folder: Path, scenario: Scenario, site: HostPort, random: Callable[[int], bytes]) -> None:
        self._folder = folder
        self._scenario = scenario
        self._random = random
        self._choice = Random(scenario.seed)  # noqa: S311 - which machine calls next is not a secret
        self._site = site
        self._secret = random(32)
        self._cipher = LabCipher(LabKey(self._secret), random)
        self._members: list[Member] = []
        self._addresses: Mapping[str, str] = {}
        self._processes: list[ServerProcess] = []
        self._calling: LoopingCall | None = None
        #: The gateway's port for KMS clients.
        self.port = free_ports(1)[0]

    def record(self, progress: Callable[[float], None] | None = None) -> None:
        """Let the year pass, and store what the gateway would have recorded. It takes a while."""
        folder = self._folder / "gateway"
        folder.mkdir(mode=0o700)
        engine = open_engine(str(folder / STORE_FILE_NAME))
        try:
            migrate(engine)
            history = History(self._scenario, lambda batch: insert_batch(engine, batch), self._random)
            history.run(progress)
        finally:
            engine.dispose()
        self._addresses = history.addresses
        # Those that are there still, and whose calls can be read.
        self._members = [
            member
            for member in history.members
            if member.counted is not None
            and member.group.name != OPAQUE
            and not member.clock_error
            and member.lab.status is LicenseStatus.LICENSED
        ]
        for member in self._members:
            member.lab.version = V4

    async def start(self, reactor: Reactor) -> None:
        """Start the servers, then the calls. Raises `ProcessFailed`."""
        self._reactor = reactor
        hosts = processes_of(self._scenario.model_copy(update={"gateways": ()}), reactor, self._folder, self._secret)
        for host in hosts.values():
            self._processes.append(host)
            await host.start()
        await self._count(hosts)
        config = self._folder / "gateway.toml"
        config.write_text(self._configuration(hosts), encoding="utf-8")
        gateway = ServerProcess(reactor, "the gateway", self._folder / "gateway", self.port, [f"--config={config}"])
        self._processes.append(gateway)
        await gateway.start()
        self._calling = LoopingCall(self._call)
        self._calling.clock = reactor
        self._calling.start(PACE).addErrback(lambda failure: _log.failure("the calls ended", failure))

    async def stop(self) -> None:
        """Stop everything; nothing runs after that."""
        if self._calling is not None and self._calling.running:
            self._calling.stop()
        # The gateway first: otherwise it would report its hosts as down.
        for process in reversed(self._processes):
            await process.stop()

    def _configuration(self, hosts: dict[str, ServerProcess]) -> str:
        upstreams = "".join(
            f'[[gateway.upstreams]]\nname = "{name}"\naddress = "127.0.0.1:{host.port}"\n'
            for name, host in hosts.items()
        )
        return (
            f"{upstreams}"
            f'[audit]\ngateway = "{self._scenario.gateways[0].name}"\n'
            f'[web]\nlisten = "{self._site}"\nnotice = "{NOTICE}"\n'
            f'[admission]\nproxy_from = ["{_FROM}"]\n'
        )

    async def _count(self, hosts: dict[str, ServerProcess]) -> None:
        """Let machines ask the hosts, since a new host has a count of 0 and would activate no client."""
        turns = DeferredSemaphore(_AT_ONCE)
        asking = []
        for number, host in enumerate(hosts.values()):
            covered = self._scenario.hosts[number].covers
            for application in dict.fromkeys(member.lab.product.app_id for member in self._members):
                chosen = [
                    one
                    for one in self._members
                    if one.lab.product.app_id == application and one.lab.product.family in covered
                ]
                asking += [turns.run(self._ask_once, member, host.port) for member in chosen[:_COUNTED]]
        await DeferredList(asking)

    def _ask_once(self, member: Member, port: int) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask(member, port))

    def _call(self) -> Deferred[None] | None:
        if not self._members:
            return None
        return self._ask_once(self._choice.choice(self._members), self.port)

    async def _ask(self, member: Member, port: int) -> None:
        contact = contact_over_tcp(self._reactor, _TIMEOUT)
        if port == self.port:
            proxied = _Proxied(self._reactor, port, self._addresses[member.lab.machine_name])
            contact = contact_over_tcp(self._reactor, _TIMEOUT, lambda _: proxied)
        try:
            message = member.lab.seal_request(self._cipher, now())
            answer = await contact(HostPort("127.0.0.1", port), message)
        except UpstreamError as error:
            # The user may have stopped a server, to see what the site shows then.
            _log.debug("{machine} was not answered: {error}", machine=member.lab.machine_name, error=error)
            return
        member.lab.process_message(self._cipher, answer.hresult, answer.message, now())


class _WithHeader(ProtocolWrapper):
    """A connection that begins with a PROXY protocol header, version 1 of its specification (2.1)."""

    def connectionMade(self) -> None:
        factory: Any = self.factory
        assert self.transport is not None
        self.transport.write(f"PROXY TCP4 {factory.address} 127.0.0.1 50000 {factory.port}\r\n".encode())
        super().connectionMade()


class _HeaderFactory(WrappingFactory["_WithHeader"]):
    noisy = False
    protocol = _WithHeader

    def __init__(self, wrapped: IProtocolFactory, address: str, port: int) -> None:
        super().__init__(wrapped)
        self.address = address
        self.port = port


@implementer(IStreamClientEndpoint)
class _Proxied:
    """The gateway's port, as a client of that address reaches it through a load balancer."""

    def __init__(self, reactor: Reactor, port: int, address: str) -> None:
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, bindAddress=(_FROM, 0))
        self._address = address
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect; fires with the protocol of `protocolFactory`."""
        factory: Any = _HeaderFactory(protocolFactory, self._address, self._port)
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)
