"""Faults of the hosts and the clients, with real processes and sockets: no client hangs or gets another's answer."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from kmstwist.lab.keys import LabKey
from kmstwist.process.listening import raise_file_limit
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import FaultError
from tests.ports import free_port
from tests.reactors import reactor
from tests.system.gateway_process import (
    OFFICE,
    PATIENT,
    WINDOWS,
    Crowd,
    OddHost,
    OddProtocol,
    Relay,
    ask_once,
    at_rest,
    bound_client,
    start_gateway,
    start_lab,
    until,
    until_nobody_is_connected,
    upstream,
)
from tests.system.running import Server

#: Seconds after which an answer is late: longer than an attempt may take.
LATE = 5
#: Activations during which a host is killed; set it higher for a longer run.
MANY = int(os.environ.get("KMSTWIST_TEST_ACTIVATIONS", "3000"))
#: Clients in one instant.
BURST = 5000
#: An attempt at a host that is silent costs its time; the host that answers gets it whole, on a busy machine too.
TIMES = "[gateway]\ndeadline = 60\nattempt_timeout = 3\n[gateway.health]\nbackoff_first = 0.2\nbackoff_longest = 0.5\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with start_lab(tmp_path, "lab") as server:
        yield server


def silent(protocol: OddProtocol, call: Any, message: bytes) -> None:
    """Sends nothing."""


def half(protocol: OddProtocol, call: Any, message: bytes) -> None:
    answer = protocol.raw_answer(call, b"x" * 200)
    protocol.transport.write(answer[:100])
    protocol.transport.loseConnection()


def half_and_silence(protocol: OddProtocol, call: Any, message: bytes) -> None:
    protocol.transport.write(protocol.raw_answer(call, b"x" * 200)[:100])


def garbage(protocol: OddProtocol, call: Any, message: bytes) -> None:
    protocol.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def wrong_call(protocol: OddProtocol, call: Any, message: bytes) -> None:
    protocol.transport.write(protocol.raw_answer(call, b"another's", call.call_id + 7))


def late(protocol: OddProtocol, call: Any, message: bytes) -> None:
    reactor.callLater(LATE, protocol.answer, call, b"late")


ODDITIES = [silent, half, half_and_silence, garbage, wrong_call, late]


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.__name__)
@ensureDeferred
async def test_behind_a_host_that_misbehaves_every_client_is_answered_by_the_next(
    lab: Server, tmp_path: Path, oddity: Any
) -> None:
    odd = OddHost(oddity)
    text = TIMES + upstream(odd.number, "odd") + upstream(lab.port, "good", priority=1)
    with start_gateway(tmp_path, text) as gateway:
        crowd = Crowd(gateway, LabKey.load(lab.key))
        visits = await crowd.come(12)
        assert [(visit.hresult, visit.error, visit.detail) for visit in visits] == [(0, None, "")] * 12
        assert odd.messages
        # No connection is left behind, here or there, beyond the reserve.
        await until(gateway, lambda found: at_rest(found) and odd.open <= 2 and found["good"]["idle"] <= 12)
        await until_nobody_is_connected(gateway)
        lines = gateway.conversations(12)
        assert [line["upstream"] for line in lines] == ["good"] * 12
        assert any(line.get("detail", "").startswith("odd: ") for line in lines)
        assert len([line for line in gateway.lines if " conversation " in line]) == 12
        assert gateway.stop() == 0
    await odd.stop()


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.__name__)
@ensureDeferred
async def test_with_no_other_host_a_client_gets_a_fault_within_the_deadline(tmp_path: Path, oddity: Any) -> None:
    odd = OddHost(oddity)
    with start_gateway(tmp_path, TIMES + upstream(odd.number, "odd")) as gateway:
        outcomes = await gatherResults([Deferred.fromCoroutine(ask_once(gateway)) for _ in range(4)])
        assert {type(outcome) for outcome in outcomes} == {FaultError}
        assert {outcome.status for outcome in outcomes} <= {FaultStatus.SERVER_UNAVAILABLE, FaultStatus.CALL_FAILED}
        # A fault ended each call, not the clients' own timeout.
        await until(gateway, lambda found: at_rest(found) and odd.open <= 2)
        lines = gateway.conversations(4)
        assert all(line["reason"].startswith("upstream-") for line in lines)
    await odd.stop()


@ensureDeferred
async def test_a_host_that_accepts_but_never_binds_is_passed_over(lab: Server, tmp_path: Path) -> None:
    odd = OddHost(silent, binds=False)
    text = TIMES + upstream(odd.number, "odd") + upstream(lab.port, "good", priority=1)
    with start_gateway(tmp_path, text) as gateway:
        visits = await Crowd(gateway, LabKey.load(lab.key)).come(8)
        assert {(visit.hresult, visit.error) for visit in visits} == {(0, None)}
    await odd.stop()


@ensureDeferred
async def test_every_client_gets_the_answer_to_its_own_message_however_late_others_come(tmp_path: Path) -> None:
    draw = random.Random(7)

    def echo(protocol: OddProtocol, call: Any, message: bytes) -> None:
        # Some in time, some after the attempt, some after the client was told.
        reactor.callLater(draw.choice([0, 0.01, 0.05, LATE - 1]), protocol.answer, call, b"echo of " + message)

    odd = [OddHost(echo), OddHost(echo)]
    text = (
        TIMES
        + "[gateway.pool]\nfloor = 1\nceiling = 8\n"
        + "".join(upstream(host.number, f"odd{n}") for n, host in enumerate(odd))
    )
    with start_gateway(tmp_path, text.replace("[gateway]\n", '[gateway]\npolicy = "spread"\n', 1)) as gateway:
        messages = [b"\0\0\6\0" + number.to_bytes(4, "big") * 64 for number in range(150)]
        outcomes = await gatherResults([Deferred.fromCoroutine(ask_once(gateway, message)) for message in messages])
        answered = [
            (message, outcome)
            for message, outcome in zip(messages, outcomes, strict=True)
            if isinstance(outcome, tuple)
        ]
        assert len(answered) > 50
        assert all(outcome == (0, b"echo of " + message) for message, outcome in answered)
        assert {type(outcome) for outcome in outcomes} <= {tuple, FaultError}
        await until(gateway, at_rest)
    for host in odd:
        await host.stop()


@ensureDeferred
async def test_killing_one_of_three_hosts_under_load_costs_no_client_its_answer(lab: Server, tmp_path: Path) -> None:
    with start_lab(tmp_path, "lab2", key_of=lab) as second, start_lab(tmp_path, "lab3", key_of=lab) as third:
        text = '[gateway]\npolicy = "spread"\n' + "".join(
            upstream(one.port, name) for name, one in (("one", lab), ("two", second), ("three", third))
        )
        with start_gateway(tmp_path, text) as gateway:

            def at_a_third(number: int) -> None:
                if number == MANY // 3:
                    second.process.kill()

            crowd = Crowd(gateway, LabKey.load(lab.key), progress=at_a_third)
            visits = await crowd.come(MANY)
            failed = [visit for visit in visits if visit.error is not None or visit.hresult != 0 or visit.detail]
            assert failed == []
            # It is tried again now and then, and is down each time.
            found = await until(gateway, lambda found: at_rest(found) and found["two"]["state"] == "down")
            assert {found["one"]["state"], found["three"]["state"]} == {"up"}
            assert found["two"]["answered"] > 100
            await until_nobody_is_connected(gateway)
            assert gateway.stop() == 0


@ensureDeferred
async def test_a_burst_of_clients_in_one_instant_is_answered_or_told_to_come_back(tmp_path: Path) -> None:
    raise_file_limit()
    # As long as clients would wait; the host waits as long for a gateway that is busy with 5,000 clients.
    # The test is about the queue, not the machine's speed.
    lab = start_lab(tmp_path, "lab", "--idle-timeout=300")
    text = PATIENT + "[gateway.pool]\nfloor = 2\nceiling = 16\nqueue = 400\n" + upstream(lab.port, "lab")
    with lab, start_gateway(tmp_path, text, "--idle-timeout=300") as gateway:
        addresses = [f"127.0.1.{n}" for n in range(1, 11)]
        visits = await Crowd(gateway, LabKey.load(lab.key), at_once=BURST, addresses=addresses).come(BURST)
        assert len(visits) == BURST
        answered = [visit for visit in visits if visit.hresult == 0]
        told = [visit for visit in visits if isinstance(visit.error, FaultError)]
        lines = await deferToThread(gateway.conversations, BURST)
        reasons = Counter((line["reason"], line.get("detail")) for line in lines)
        assert len(answered) + len(told) == BURST, reasons
        assert len(answered) >= 400, reasons
        assert {visit.error.status for visit in told if isinstance(visit.error, FaultError)} <= {
            FaultStatus.SERVER_TOO_BUSY
        }
        found = await until(gateway, at_rest)
        assert found["lab"]["state"] == "up"
        assert found["lab"]["idle"] <= 16
        await until_nobody_is_connected(gateway)
        assert gateway.stop() == 0
        assert len([line for line in gateway.lines if " conversation " in line]) == BURST


@ensureDeferred
async def test_a_client_that_leaves_in_mid_call_takes_its_call_with_it(tmp_path: Path) -> None:
    odd = OddHost(silent)
    with start_gateway(tmp_path, PATIENT + upstream(odd.number, "odd")) as gateway:
        client = await bound_client(gateway)
        call = client.request_activation(b"\0\0\6\0" + bytes(256))
        await until(gateway, lambda found: found["odd"]["busy"] == 1)
        call.addErrback(lambda _: None)
        client.abort()
        await until(gateway, at_rest)
        [line] = gateway.conversations(1)
        assert (line["reason"], line["phase"], line["result"]) == ("client-lost", "call", "none")
        await until_nobody_is_connected(gateway)
        # The call's connection is closed with it: a late answer must not be taken for another's.
        await until(gateway, lambda found: odd.open == found["odd"]["idle"] == 2)
    await odd.stop()


@ensureDeferred
async def test_with_all_hosts_gone_clients_are_told_at_once_and_served_when_one_is_back(
    lab: Server, tmp_path: Path
) -> None:
    dead = free_port()
    text = TIMES + upstream(lab.port, "lab") + upstream(dead, "dead")
    key = LabKey.load(lab.key)
    with start_gateway(tmp_path, text) as gateway:
        assert {visit.hresult for visit in await Crowd(gateway, key).come(5)} == {0}
        lab.kill()
        await until(gateway, lambda found: found["lab"]["state"] == "down")
        outcome = await ask_once(gateway)
        assert isinstance(outcome, FaultError)
        assert outcome.status == FaultStatus.SERVER_UNAVAILABLE
        with start_lab(tmp_path, "lab", port=lab.port):
            await until(gateway, lambda found: found["lab"]["state"] in ("warming", "up"))
            assert {visit.hresult for visit in await Crowd(gateway, key).come(5)} == {0}
            found = await until(gateway, lambda found: found["lab"]["idle"] >= 2)
            assert at_rest(found)
        gateway.wait_for(" upstream-up upstream=lab")
        down = [line for line in gateway.lines if " upstream-down upstream=lab " in line]
        assert len(down) == 1


@ensureDeferred
async def test_windows_and_office_hosts_behind_one_address(lab: Server, tmp_path: Path) -> None:
    windows = start_lab(tmp_path, "windows", "--lab-products=Windows,Windows Server", key_of=lab)
    office = start_lab(tmp_path, "office", "--lab-products=Office", key_of=lab)
    text = upstream(free_port(), "dead") + upstream(windows.port, "windows", 1) + upstream(office.port, "office", 1)
    with windows, office, start_gateway(tmp_path, TIMES + text) as gateway:
        key = LabKey.load(lab.key)
        for number, product in enumerate((WINDOWS, OFFICE)):
            address = [f"127.0.2.{number + 1}"]
            visits = await Crowd(gateway, key, product=product, addresses=address).come(3)
            assert [(visit.hresult, visit.error, visit.detail) for visit in visits] == [(0, None, "")] * 3
        lines = gateway.conversations(6)
        assert [line["upstream"] for line in lines] == ["windows"] * 3 + ["office"] * 3
        before = await until(gateway, at_rest)
        # A machine that asked before goes straight to the host that answered it, with no further refusal.
        await Crowd(gateway, key, product=OFFICE, addresses=["127.0.2.2"]).come(2)
        after = await until(gateway, at_rest)
        assert after["windows"]["refused"] == before["windows"]["refused"]
        assert after["office"]["answered"] == before["office"]["answered"] + 2


@ensureDeferred
async def test_a_client_s_whole_conversation_takes_one_round_trip_to_the_host(lab: Server, tmp_path: Path) -> None:
    relay = Relay(lab.port, 0.02)
    # A probe under way at the same time would be counted too.
    with start_gateway(tmp_path, "[gateway.health]\ninterval = 3600\n" + upstream(relay.number, "far")) as gateway:
        await until(gateway, lambda found: found["far"]["idle"] == 2)
        relay.crossed.clear()
        [visit] = await Crowd(gateway, LabKey.load(lab.key)).come(1)
        assert (visit.hresult, visit.error) == (0, None)
        assert relay.crossed == [">", "<"]
    await relay.stop()
