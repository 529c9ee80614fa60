"""The fleet on the wire, with a wire that the test controls."""

from __future__ import annotations

import random
from pathlib import Path

from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from kmstwist.lab.fleet.processes import ProcessFailed, free_ports
from kmstwist.lab.fleet.simulation import Fleet
from kmstwist.lab.fleet.wire import AT_ONCE, WireFleet
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import Answer
from kmstwist.transport.errors import ConnectError
from tests.lab.fleet.scenarios import machines, scenario
from tests.reactors import in_place_of_one


@ensureDeferred
async def test_an_answer_that_comes_after_its_machine_was_generalised_is_dropped(tmp_path: Path) -> None:
    clock, chance = Clock(), random.Random(8)
    clones = machines(count=1, cloned=True, generalise_on_day=2)
    wire = WireFleet(
        scenario(days=10, machines=clones), in_place_of_one(clock), 10.0, tmp_path, chance.randbytes, now=clock.seconds
    )
    secret = random.Random(8).randbytes(32)
    host = LabHost(LabKey(secret), now=clock.seconds, random=chance.randbytes)
    under_way: list[tuple[bytes, Deferred[Answer]]] = []

    def contact(where: object, message: bytes) -> Deferred[Answer]:
        under_way.append((message, Deferred()))
        return under_way[-1][1]

    wire._contacts["site"] = contact  # type: ignore[assignment]
    fleet = wire._fleet
    [member] = fleet.members
    wire._join(member)
    clock.advance(2.5)
    fleet.generalise("PC", wire._now)
    message, answer = under_way[0]
    response = host.answer(message)
    assert response.hresult == 0
    answer.callback(Answer(0, response.message))
    result = fleet.record.result(wire._scenario, fleet.members)
    assert result.outcomes == {}
    # The machine asks again, with its new identity.
    clock.advance(1.0)
    assert len(under_way) == 2
    assert under_way[1][0] != message


def test_a_site_behind_a_slow_link_connects_later_without_delaying_another(tmp_path: Path) -> None:
    reactor = MemoryReactorClock()
    sites = [
        {"name": name, "srv": [{"host": "kms"}], "round_trip_seconds": far} for name, far in (("near", 0), ("far", 4))
    ]
    groups = [{**machines(count=100)[0], "name": name, "site": name} for name in ("near", "far")]
    wire = WireFleet(
        scenario(site=sites, machines=groups), in_place_of_one(reactor), 1.0, tmp_path, random.Random(8).randbytes
    )
    for member in wire._fleet.members:
        wire._join(member)
    assert len(reactor.tcpClients) == AT_ONCE
    reactor.advance(4)
    assert len(reactor.tcpClients) == 2 * AT_ONCE


def test_a_server_that_does_not_come_back_is_reported(tmp_path: Path) -> None:
    reactor = MemoryReactorClock()
    wire = WireFleet(scenario(), in_place_of_one(reactor), 1.0, tmp_path, random.Random(8).randbytes)
    wire._send(lambda: fail(ProcessFailed("kms did not start: port 12345 is taken")))
    assert wire._figures.troubles == ["kms did not start: port 12345 is taken"]


def test_ports_are_below_those_of_outgoing_connections_and_all_different() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_000


def test_compressing_the_time_loses_no_retry_however_long_an_answer_takes(tmp_path: Path) -> None:
    clock = Clock()
    away = [{"name": "kms", "outages": [{"from_day": 0, "days": 100}]}]
    spec = scenario(days=15, host=away, machines=machines(count=10))
    wire = WireFleet(spec, in_place_of_one(clock), 15.0, tmp_path, random.Random(8).randbytes)

    def contact(where: object, message: bytes) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred()
        # Half an hour of the scenario.
        clock.callLater(0.02, answer.errback, ConnectError("connection refused"))
        return answer

    wire._contacts["site"] = contact  # type: ignore[assignment]
    wire._plan_outage = lambda *_: None  # type: ignore[method-assign]
    wire._enter()
    finished: list[object] = []
    while clock.seconds() < 15.0:
        clock.advance(0.005)
    Deferred.fromCoroutine(wire._finish()).addBoth(finished.append)
    while not finished:
        clock.advance(0.01)
    assert finished == [None]
    result = wire._fleet.record.result(spec, wire._fleet.members)
    assert result.attempts == Fleet(spec).run().attempts == 10 * 15 * 12


@ensureDeferred
async def test_a_count_is_reported_with_the_name_of_the_host_that_counted(tmp_path: Path) -> None:
    clock, chance = Clock(), random.Random(8)
    spec = scenario(
        days=10,
        machines=machines(count=30),
        gateway=[{"name": "gw", "upstreams": ["kms"]}],
        site=[{"name": "site", "srv": [{"host": "gw"}]}],
    )
    wire = WireFleet(spec, in_place_of_one(clock), 10.0, tmp_path, chance.randbytes, now=clock.seconds)
    host = LabHost(LabKey(random.Random(8).randbytes(32)), now=clock.seconds, random=chance.randbytes)

    async def contact(where: object, message: bytes) -> Answer:
        answer = host.answer(message)
        return Answer(answer.hresult, answer.message)

    wire._contacts["site"] = contact  # type: ignore[assignment]
    for member in wire._fleet.members:
        wire._join(member)
    result = wire._fleet.record.result(spec, wire._fleet.members)
    assert {threshold.host for threshold in result.thresholds} == {"kms"}
