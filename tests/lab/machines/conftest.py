"""A lab machine beside a lab host, with nothing but calls between them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import Product, find
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import Answer, Asking, activate
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.lab.machines.session import Misused, Output, Session
from kmstwist.lab.ospp import client as ospp_client
from kmstwist.lab.ospp import options as ospp_options
from kmstwist.lab.slmgr import client as slmgr_client
from kmstwist.lab.slmgr import options as slmgr_options
from kmstwist.transport.errors import ConnectError

T = TypeVar("T")
START = 1_767_571_200.0
DAY = 86_400
WINDOWS = find("Windows 11 / 10 Enterprise")
OFFICE = find("Office LTSC Professional Plus 2021")


def result_of(coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
    """The result of a coroutine that never waits."""
    results: list[T] = []
    failures: list[Failure] = []
    Deferred.fromCoroutine(coroutine).addCallbacks(results.append, failures.append)
    for failure in failures:
        failure.raiseException()
    assert results, "the command waits for something"
    return results[0]


@dataclass
class Desk:
    """An administrator's desk at one machine."""

    machine: Machine
    host: LabHost
    key: LabKey
    now: float = START
    found: list[HostPort] | Exception = field(default_factory=lambda: [HostPort("kms", 1688)])
    up: set[str] = field(default_factory=lambda: {"kms"})
    asked: list[HostPort] = field(default_factory=list)
    events: list[MachineEvent] = field(default_factory=list)

    def asking(self) -> Asking:
        async def locate(machine: Machine, licence: Licence) -> list[HostPort]:
            if isinstance(self.found, Exception):
                raise self.found
            return list(self.found)

        async def contact(host: HostPort, message: bytes, machine: Machine | None = None) -> Answer:
            self.asked.append(host)
            if host.host not in self.up:
                raise ConnectError("connection refused")
            answer = self.host.answer(message)
            return Answer(answer.hresult, answer.message, "10.0.0.9")

        return Asking(LabCipher(self.key, random.Random(1).randbytes), locate, contact, lambda: self.now)

    def session(self) -> Session:
        number, asking = iter(range(1000, 2000)), self.asking()
        return Session(
            self.machine,
            self.key,
            lambda: self.now,
            lambda machine, licence: activate(machine, licence, asking),
            lambda: UUID(int=next(number)),
            lambda: self.events,
        )

    def run(self, *words: str) -> Output:
        """Run slmgr. Returns its whole output."""
        try:
            option, arguments, notes = slmgr_options.read(words)
            output = result_of(slmgr_client.run(self.session(), option, arguments))
            output.notes += notes
            return output
        except Misused as misused:
            return misused.output
        finally:
            self._log()

    def slmgr(self, *words: str) -> list[str]:
        """Run slmgr, which must exit with 0. Returns the lines."""
        output = self.run(*words)
        assert output.code == 0, output.lines
        return output.lines

    def fails(self, *words: str) -> int:
        """Run slmgr, which must fail. Returns its exit status."""
        output = self.run(*words)
        assert output.code != 0, output.lines
        assert f"0x{output.code:08X}" in output.lines[-1]
        return output.code

    def ospp(self, *words: str) -> list[str]:
        """Run ospp. Returns the lines."""
        return self.office(*words).lines

    def office(self, *words: str) -> Output:
        """Run ospp. Returns its whole output."""
        try:
            option, value = ospp_options.read(words)
            output = result_of(ospp_client.run(self.session(), option, value))
        except Misused as misused:
            output = misused.output
        finally:
            self._log()
        assert output.code == 0
        return output

    def fill(self, count: int, product: Product = WINDOWS) -> None:
        """Let other clients ask the host."""
        for number in range(count):
            client = LabClient(f"OTHER-{number}", UUID(int=number + 5000), product, installed=self.now)
            assert self.host.decide(client.request(self.now))[0] == 0

    def _log(self) -> None:
        self.events += self.machine.new_events
        self.machine.new_events.clear()


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This computer is in UTC: the tools print local times."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def desk() -> Desk:
    key = LabKey(bytes(range(32)))
    machine = Machine("PC1", UUID(int=77), START, domain="corp.example")
    for product in (WINDOWS, OFFICE):
        machine.install_key(machine.add_product(product, START), START)
    made: Callable[..., Desk] = Desk
    desk = made(machine, None, key)
    desk.host = LabHost(key, now=lambda: desk.now, random=random.Random(2).randbytes)
    return desk
