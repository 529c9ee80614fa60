"""Names are looked up once for all who ask, and a hanging lookup keeps no process alive."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from kmstwist.transport.lookups import SharedLookups
from tests.reactors import reactor
from tests.waiting import PATIENCE


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.complete: Deferred[list[Any]] = Deferred()

    def resolutionBegan(self, resolution: Any) -> None:
        self.name = resolution.name

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.complete.callback(self.addresses)


def ask(lookups: SharedLookups, name: str, **how: Any) -> Deferred[list[Any]]:
    receiver = Receiver()
    lookups.resolveHostName(receiver, name, 1688, **how)
    assert receiver.name == name
    return receiver.complete


@ensureDeferred
async def test_concurrent_requests_for_a_name_cause_one_lookup() -> None:
    asked: list[str] = []
    go = threading.Event()

    def slow(name: str, port: int, family: int, kind: int) -> Any:
        asked.append(name)
        assert go.wait(PATIENCE)
        return [
            (socket.AF_INET, kind, 6, "", ("10.0.0.1", port)),
            (socket.AF_INET6, kind, 6, "", ("fd00::1", port, 0, 0)),
        ]

    lookups = SharedLookups(reactor, reactor.nameResolver, slow)
    waiting = [ask(lookups, "kms1") for _ in range(50)] + [ask(lookups, "kms2")]
    go.set()
    found = await gatherResults(waiting)
    assert sorted(asked) == ["kms1", "kms2"]
    assert found == [[IPv4Address("TCP", "10.0.0.1", 1688), IPv6Address("TCP", "fd00::1", 1688)]] * 51
    await ask(lookups, "kms1")
    assert sorted(asked) == ["kms1", "kms1", "kms2"]


@ensureDeferred
async def test_a_missing_name_has_no_addresses_and_the_system_s_names_are_known() -> None:
    lookups = SharedLookups(reactor, reactor.nameResolver)
    assert IPv4Address("TCP", "127.0.0.1", 1688) in await ask(lookups, "localhost")
    assert await ask(lookups, "nowhere.invalid") == []
    assert await ask(lookups, "x" * 64 + ".invalid") == []
    assert await ask(lookups, "localhost", addressTypes=[IPv4Address]) == [IPv4Address("TCP", "127.0.0.1", 1688)]


HANGING = """
import threading
from tests.reactors import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from kmstwist.transport.lookups import SharedLookups

started = threading.Event()
def hang(*question):
    started.set()
    threading.Event().wait()
reactor.installNameResolver(SharedLookups(reactor, reactor.nameResolver, hang))

def begin():
    for _ in range(30):
        HostnameEndpoint(reactor, "kms1.corp.example", 1688).connect(Factory()).addErrback(lambda failure: None)
    reactor.callInThread(lambda: (started.wait(), reactor.callFromThread(reactor.stop)))
reactor.callWhenRunning(begin)
reactor.run()
print("ended")
"""


def test_a_look_up_that_hangs_does_not_keep_a_process_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
