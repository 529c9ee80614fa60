"""What one conversation costs from the transport's bytes to its bytes: all of the program's own work, and no socket.

A gateway of the program's own parts stands between clients and a host in memory: 64 conversations at a time, each with
its bind, one request, an answer, a record, a line and its end. What is measured is processor time, and what is counted
are calls of Python functions: the latter is the same on every machine, and a test holds it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from benchmarks import harness
from benchmarks.canned import ACK, BIND, REQUEST, RESPONSE
from kmstwist.admission.admission import Admission
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.audit.engine import open_engine
from kmstwist.audit.inserting import commit_batch
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Recorder, RecordIds, RecordMaker
from kmstwist.audit.writer import AuditWriter
from kmstwist.conversation.factory import KmsFactory
from kmstwist.gateway.service import GatewayService
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.kms.interface import KMS
from kmstwist.rpc import RpcServer
from kmstwist.telemetry.lines import FORMATTERS, FloodLimit, LineObserver

AT_ONCE = 64
_DONE = Failure(ConnectionDone())


class Wire:
    """A connection's transport, as far as a conversation asks for one: what is written is kept."""

    server = None

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1688)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def loseConnection(self) -> None:
        pass

    def abortConnection(self) -> None:
        pass


class Host:
    """The endpoint of a host that answers when it is told to."""

    def __init__(self) -> None:
        self.connections: list[tuple[Any, Wire]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        protocol = factory.buildProtocol(None)
        wire = Wire()
        self.connections.append((protocol, wire))
        protocol.makeConnection(wire)
        return execute(lambda: protocol)

    def answer(self) -> None:
        """Answer all that was asked, each PDU with one made beforehand."""
        for protocol, wire in self.connections:
            while wire.written:
                asked = wire.written.pop(0)
                canned = ACK if asked[2] == BIND[2] else RESPONSE
                protocol.dataReceived(canned[:12] + asked[12:16] + canned[16:])


class Gateway:
    """A gateway in memory; `converse` has so many clients talk to it at once."""

    def __init__(
        self, folder: Path, *, audit: bool, upstreams: int = 1, at_once: int = AT_ONCE, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.host = Host()
        self.at_once = at_once
        #: The addresses that the clients have, in turn.
        self.addresses: Iterator[str] = repeat("10.1.0.7")
        settings = GatewaySettings(
            upstreams=[{"address": f"10.0.{number // 250}.{1 + number % 250}"} for number in range(upstreams)],
            pool={"floor": max(1, at_once // upstreams), "ceiling": at_once},
        )
        publisher = LogPublisher()
        log = Logger(namespace="kmstwist.server", observer=publisher)
        self.lines = 0
        observer = LineObserver(FORMATTERS["text"], "info", self._line)
        publisher.addObserver(FloodLimit(observer, self.clock.seconds, burst=1_000_000, rate=1))
        service = GatewayService(
            settings,
            lambda target, timeout: self.host,
            self.clock,
            random=lambda: 0.5,
            resolver=lambda domain: Deferred(),
            log=log,
        )
        rates = AdmissionSettings(client_rate=1e6, client_burst=1_000_000)
        admission = Admission(rates, self.clock, connections=10_000)
        recorder = Recorder(_Audit(folder, self.clock) if audit else None)
        self.factory = KmsFactory(RpcServer((KMS,)), self.clock, admission, recorder=recorder, log=log)
        self.factory.activator = service
        service.startService()
        self.host.answer()
        self.clock.advance(60)
        self.host.answer()

    def _line(self, line: str, level: object) -> None:
        self.lines += 1

    def converse(self) -> None:
        """Have `at_once` clients hold one conversation each."""
        clients = []
        for number in range(self.at_once):
            protocol = self.factory.buildProtocol(IPv4Address("TCP", next(self.addresses), 40000 + number))
            protocol.makeConnection(Wire())
            clients.append(protocol)
        for client in clients:
            client.dataReceived(BIND)
        for client in clients:
            client.dataReceived(REQUEST)
        self.host.answer()
        self.clock.advance(0.01)
        for client in clients:
            assert len(client.transport.written) == 2, client.transport.written
            client.readConnectionLost()
            client.connectionLost(_DONE)


class _Audit:
    """The audit's parts, without its thread: what is measured is processor time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        engine = open_engine(str(folder / "audit.sqlite"))
        migrate(engine)
        self.maker = RecordMaker("gateway1", lambda: 1_735_689_600.0, RecordIds(lambda n: bytes(n)))
        self.writer = AuditWriter(
            lambda batch, again=False: commit_batch(engine, batch), clock=clock, in_thread=execute
        )
        self.writer.start()
        self.take = self.writer.take


def microseconds(function: Callable[[], object]) -> float:
    """Of processor time, for one conversation."""
    return harness.microseconds(function, rounds=9, seconds=0.3) / AT_ONCE


def main() -> None:
    """Measure and report."""
    parts = []
    with tempfile.TemporaryDirectory(prefix="kmstwist-path-") as folder:
        for audit in (False, True):
            gateway = Gateway(Path(folder), audit=audit)
            gateway.converse()
            name = "on" if audit else "off"
            counted = harness.calls(gateway.converse) / AT_ONCE
            parts.append(f"| {name} | {microseconds(gateway.converse):.1f} | {counted:.0f} |")
        profile = harness.profile(gateway.converse, 60, 30)
    harness.report(
        "call_path",
        f"""# A conversation in memory

All of a gateway's work for one conversation, {AT_ONCE} at a time, without sockets and the loop. Processor time, best
of 9 rounds; the audit's commits are in it.

| audit | microseconds | calls of Python functions |
| --- | ---: | ---: |
{chr(10).join(parts)}

Machine: {harness.machine()}.

## Profile

With the audit on, {60 * AT_ONCE:,} conversations under cProfile, which makes calls look dearer than they are:

```
{profile}
```
""",
    )


if __name__ == "__main__":
    main()
