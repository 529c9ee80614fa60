"""Single upstreams: events at the wrong moment, and hosts that misbehave."""

from __future__ import annotations

import errno

import pytest
from twisted.internet.error import ConnectBindError, ConnectError

from kmstwist.gateway.directory import UnknownUpstream
from kmstwist.gateway.settings import HealthSettings, PoolSettings
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus, Interface, RpcServer, SyntaxId
from tests.gateway.fakes import Site

ANOTHER = SyntaxId.make("12345678-1234-5678-1234-567812345678", 1, 0)


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UnknownUpstream, match="no upstream is named 'c'; there are: a, b"):
        Site("a", "b").upstream("c")
    with pytest.raises(UnknownUpstream, match="there are: none"):
        Site().upstream("c")


def test_an_unknown_host_may_be_drained_and_undrained_in_advance() -> None:
    site = Site("a")
    directory = site.gateway.directory
    directory.drain(["gone", "a"])
    assert directory.drained == ("a", "gone")
    assert site.upstream("a").drained
    directory.undrain("gone")
    assert directory.drained == ("a",)


def test_before_it_starts_a_gateway_takes_other_upstreams_without_a_connection() -> None:
    site = Site("a", start=False)
    site.gateway.apply(Site("b", start=False).settings)
    assert [upstream.name for upstream in site.gateway.directory.upstreams] == ["b"]
    assert site.clock.getDelayedCalls() == []


def test_undraining_a_host_that_is_down_opens_no_reserve() -> None:
    site = Site("a", health=HealthSettings(failures=1))
    site.hosts["a"].down()
    site.wait(3)
    upstream = site.upstream("a")
    assert not upstream.circuit.healthy
    upstream.drain()
    upstream.undrain()
    assert not upstream.drained
    assert upstream.pool.connections == 0


def test_a_drained_host_that_comes_back_keeps_no_reserve() -> None:
    site = Site("a", health=HealthSettings(failures=1, slow_start=0))
    site.hosts["a"].down()
    site.wait(3)
    upstream = site.upstream("a")
    assert not upstream.circuit.healthy
    upstream.drain()
    site.hosts["a"].reachable = True
    site.wait(60)
    assert upstream.circuit.healthy
    assert site.hosts["a"].open == []


def test_a_gateway_that_stops_while_it_probes_leaves_nothing_behind() -> None:
    site = Site("a", health=HealthSettings(interval=10))
    site.hosts["a"].mute = True
    site.wait(12)
    # The probe waits for an answer; when the next one falls due, it is left out.
    attempts = site.hosts["a"].attempts
    site.upstream("a").try_host()
    assert site.hosts["a"].attempts == attempts
    site.gateway.stopService()
    site.wait(1)
    assert site.clock.getDelayedCalls() == []
    assert site.hosts["a"].open == []


def test_an_upstream_that_never_started_may_be_stopped() -> None:
    site = Site("a", start=False)
    site.upstream("a").stop()
    assert site.clock.getDelayedCalls() == []


def test_a_host_without_the_kms_interface_fails_the_calls_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site("a", start=False)
    without = RpcServer((Interface(ANOTHER, 1),))
    monkeypatch.setattr("tests.gateway.fakes.RpcServer", lambda interfaces: without)
    site.gateway.startService()
    site.wait(0.1)
    fault = site.ask(wait=5)
    assert isinstance(fault, ActivationFault)
    assert fault.reason is Reason.UPSTREAM_BIND_REJECTED
    assert "does not have the KMS interface" in fault.detail
    assert site.hosts["a"].open == []


def test_a_connection_that_opens_after_the_end_is_dropped() -> None:
    site = Site("a", start=False, pool=PoolSettings(floor=2))
    site.gateway.startService()
    # The binds are under way.
    assert len(site.hosts["a"].open) == 2
    site.gateway.stopService()
    site.wait(0.1)
    assert site.hosts["a"].open == []
    assert site.clock.getDelayedCalls() == []


def test_a_lost_connection_of_the_reserve_is_not_given_to_a_call() -> None:
    site = Site("a", pool=PoolSettings(floor=2))
    # Both are gone, and nobody has been told yet.
    for connection in site.hosts["a"].open:
        connection.closed = True
        connection.protocol.alive = False
    assert site.answered_by() == "a"


@pytest.mark.parametrize(
    "shortage",
    [
        ConnectError(errno.EADDRNOTAVAIL, "Cannot assign requested address"),
        ConnectBindError(errno.EMFILE, "Too many open files"),
    ],
    ids=["ports", "descriptors"],
)
def test_if_this_machine_has_no_room_for_a_connection_no_host_is_blamed(shortage: Exception) -> None:
    site = Site("a", pool=PoolSettings(floor=1, ceiling=8), health=HealthSettings(failures=1, interval=5))
    host = site.hosts["a"]
    host.reachable, host.refusal = False, shortage
    # There is one connection: a call that finds it taken waits for it.
    outcomes: list[object] = []
    for _ in range(5):
        call = ActivationCall(b"\0\0\6\0 a message", "10.0.0.7", 50000)
        site.gateway.activate(call).addBoth(outcomes.append)
    site.wait(1)
    assert [type(outcome) for outcome in outcomes] == [ActivationAnswer] * 5
    # The probe has no room either.
    attempts = host.attempts
    site.wait(20)
    assert host.attempts > attempts
    assert site.upstream("a").circuit.healthy
    # With no connection at all nothing is known of the host, and the client may come back.
    host.down()
    failed = site.ask()
    assert isinstance(failed, ActivationFault)
    assert (failed.status, failed.reason) == (FaultStatus.SERVER_TOO_BUSY, Reason.UPSTREAM_BUSY)
    assert "no port, file descriptor or memory is left here" in failed.detail
