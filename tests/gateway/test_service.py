"""A call's way through the gateway, with hosts in memory and on the test's own clock."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.gateway.choice import sticky_order
from kmstwist.gateway.settings import HealthSettings, PoolSettings
from kmstwist.gateway.upstream import Upstream
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import TimedOut
from tests.gateway.fakes import NOT_ACTIVATED, NOT_COVERED, Site, site_settings


def first_of(site: Site, client: str = "10.0.0.7") -> str:
    name = site.answered_by(client)
    assert name is not None
    return name


def other_than(site: Site, name: str) -> str:
    return next(host for host in site.hosts if host != name)


MESSAGES = st.one_of(
    st.binary(min_size=4, max_size=4000),
    st.builds(
        lambda major, minor, rest: struct.pack("<HH", minor, major) + rest,
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.binary(max_size=600),
    ),
)


def answering(answer: Any) -> Callable[[bytes], Any]:
    """Answers every message in this way."""
    return lambda message: answer


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(MESSAGES, st.binary(min_size=1, max_size=4000)), min_size=1, max_size=4))
def test_what_the_client_sent_is_what_the_upstream_got_and_the_answer_comes_back_byte_for_byte(
    exchanges: list[tuple[bytes, bytes]],
) -> None:
    site = Site("a")
    for message, response in exchanges:
        site.hosts["a"].answer = answering((0, response))
        answer = site.ask(message=message)
        assert (answer.hresult, answer.message) == (0, response)
    assert site.hosts["a"].messages == [message for message, _ in exchanges]


def test_a_client_keeps_reaching_the_same_host() -> None:
    site = Site("a", "b", "c")
    assert len({site.answered_by() for _ in range(20)}) == 1
    assert {site.answered_by(f"10.0.0.{n}") for n in range(40)} == {"a", "b", "c"}


def test_the_lowest_priority_is_asked_while_it_is_well_and_the_next_when_it_is_down() -> None:
    site = Site("a/10", "b/0")
    assert site.answered_by() == "b/0"
    site.hosts["b/0"].down()
    assert site.answered_by() == "a/10"


def test_a_host_that_is_lost_in_mid_call_is_followed_by_the_next_and_the_line_says_so() -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: "lost"
    answer = site.ask()
    assert answer.upstream == other_than(site, first)
    assert answer.detail.startswith(f"{first}: the connection ended")


def test_a_silent_host_is_followed_by_the_next_after_its_attempt_s_time() -> None:
    site = Site("a", "b", attempt_timeout=2.0)
    first = first_of(site)
    site.hosts[first].answer = lambda _: None
    assert site.ask(wait=1.9) is None
    answer = site.ask(wait=3.0)
    assert answer.upstream == other_than(site, first)


def test_a_fault_is_followed_by_the_next_and_does_not_bring_the_host_down() -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: FaultStatus.NCA_PROTOCOL_ERROR
    for _ in range(5):
        assert site.answered_by() == other_than(site, first)
    assert site.upstream(first).circuit.healthy


def test_the_fault_of_the_last_host_is_passed_on_when_none_answers() -> None:
    site = Site("a", "b")
    site.hosts["a"].answer = lambda _: "lost"
    site.hosts["b"].answer = lambda _: FaultStatus.ACCESS_DENIED
    fault = site.ask()
    assert isinstance(fault, ActivationFault)
    assert (fault.status, fault.reason, fault.upstream) == (FaultStatus.ACCESS_DENIED, Reason.UPSTREAM_FAULT, "b")


@pytest.mark.parametrize("status", [NOT_COVERED, NOT_ACTIVATED])
def test_a_host_that_cannot_answer_this_client_is_followed_by_one_that_can(status: int) -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: (status, b"")
    answer = site.ask()
    assert (answer.hresult, answer.upstream) == (0, other_than(site, first))
    assert answer.detail == f"{first} said 0x{status:08X}"


def test_the_second_visit_goes_straight_to_the_host_that_answered() -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: (NOT_COVERED, b"")
    site.ask()
    asked = len(site.hosts[first].messages)
    assert site.answered_by() == other_than(site, first)
    assert len(site.hosts[first].messages) == asked


def test_the_latest_clients_are_remembered() -> None:
    site = Site("a", "b", remember_clients=1)
    first = first_of(site)
    # A client that the same host is asked first for.
    another = next(each for each in (f"10.0.1.{n}" for n in range(1, 100)) if first_of(site, each) == first)
    site.hosts[first].answer = lambda _: (NOT_COVERED, b"")
    asked = len(site.hosts[first].messages)
    for client, more in (("10.0.0.7", 1), ("10.0.0.7", 0), (another, 1), ("10.0.0.7", 1)):
        assert site.answered_by(client) == other_than(site, first)
        asked += more
        assert len(site.hosts[first].messages) == asked


def test_what_was_remembered_is_forgotten_after_its_time() -> None:
    site = Site("a", "b", remember_for=60.0)
    first = first_of(site)
    site.hosts[first].answer = lambda _: (NOT_COVERED, b"")
    site.ask()
    site.wait(61)
    asked = len(site.hosts[first].messages)
    site.ask()
    assert len(site.hosts[first].messages) == asked + 1


def test_a_client_that_renews_every_week_goes_straight_to_its_host_each_time() -> None:
    site = Site("a", "b", health=HealthSettings(interval=86_400))
    first = first_of(site)
    site.hosts[first].answer = lambda _: (NOT_COVERED, b"")
    assert site.answered_by() == other_than(site, first)
    asked = len(site.hosts[first].messages)
    for _ in range(4):
        site.clock.advance(7.1 * 86_400)
        site.wait(0.1)
        assert site.answered_by() == other_than(site, first)
    assert len(site.hosts[first].messages) == asked


def test_a_host_that_was_merely_down_gets_its_clients_back() -> None:
    site = Site("a", "b", health=HealthSettings(slow_start=0))
    first = first_of(site)
    site.hosts[first].down()
    assert first_of(site) == other_than(site, first)
    site.hosts[first].reachable = True
    site.wait(5)
    assert first_of(site) == first


@pytest.mark.parametrize("order", [(NOT_COVERED, NOT_ACTIVATED), (NOT_ACTIVATED, NOT_COVERED)])
def test_the_best_status_seen_is_the_answer_when_no_host_can_do_better(order: tuple[int, int]) -> None:
    site = Site("a", "b")
    site.hosts["a"].answer = lambda _: (order[0], b"")
    site.hosts["b"].answer = lambda _: (order[1], b"")
    answer = site.ask()
    assert (answer.hresult, answer.reason) == (NOT_ACTIVATED, Reason.UPSTREAM_STATUS)


def test_a_status_about_the_client_is_final() -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: (0xC004F06C, b"")
    answer = site.ask()
    assert (answer.hresult, answer.upstream) == (0xC004F06C, first)
    assert site.hosts[other_than(site, first)].messages == []


def test_a_status_is_a_better_answer_than_a_host_that_is_down_and_is_not_delayed_by_it() -> None:
    site = Site("a", "b")
    site.hosts["a"].answer = lambda _: (NOT_COVERED, b"")
    site.hosts["b"].down()
    # The reserve cannot be filled again.
    site.wait(1.2)
    assert not site.upstream("b").circuit.healthy
    site.ask()
    attempts = site.hosts["b"].attempts
    assert site.ask(wait=0.02).hresult == NOT_COVERED
    assert site.hosts["b"].attempts == attempts


def test_no_call_takes_longer_than_the_deadline_however_many_hosts_are_silent() -> None:
    site = Site("a", "b", "c", deadline=10.0, attempt_timeout=4.0)
    for host in site.hosts.values():
        host.answer = lambda _: None
    assert site.ask(wait=9.9) is None
    fault = site.ask(wait=10.1)
    assert isinstance(fault, ActivationFault)
    assert (fault.status, fault.reason) == (FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_TIMEOUT)


def test_with_all_hosts_down_a_client_is_told_at_once_and_served_as_soon_as_one_is_back() -> None:
    site = Site("a", "b")
    for host in site.hosts.values():
        host.down()
    site.wait(1)
    fault = site.ask(wait=0.01)
    assert isinstance(fault, ActivationFault)
    assert (fault.status, fault.reason) == (FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_REFUSED)
    site.hosts["b"].reachable = True
    assert site.answered_by() == "b"


def test_past_the_queue_a_client_is_told_too_busy_at_once() -> None:
    site = Site("a", pool=PoolSettings(floor=0, ceiling=2, queue=3))
    site.hosts["a"].answer = lambda _: None
    waiting = [site.ask(wait=0.01) for _ in range(5)]
    assert waiting == [None] * 5
    fault = site.ask(wait=0)
    assert isinstance(fault, ActivationFault)
    assert (fault.status, fault.reason) == (FaultStatus.SERVER_TOO_BUSY, Reason.UPSTREAM_BUSY)


def test_a_full_queue_does_not_count_against_the_host() -> None:
    site = Site("a", pool=PoolSettings(floor=0, ceiling=1, queue=1), health=HealthSettings(failures=1))
    site.hosts["a"].answer = lambda _: None
    for _ in range(5):
        site.ask(wait=0)
    assert site.upstream("a").circuit.healthy


def test_a_refused_connection_is_one_failure_of_the_host() -> None:
    health = HealthSettings(failures=4, interval=3600)
    site = Site("a", "b/10", pool=PoolSettings(floor=0), health=health)
    site.hosts["a"].down()
    healthy = []
    for _ in range(4):
        assert site.answered_by() == "b/10"
        healthy.append(site.upstream("a").circuit.healthy)
    assert healthy == [True, True, True, False]


def test_calls_that_fail_together_for_one_connection_are_one_failure_of_the_host() -> None:
    health = HealthSettings(failures=2, interval=3600)
    site = Site("a", "b/10", pool=PoolSettings(floor=0, ceiling=1), health=health, attempt_timeout=1.0)
    # It accepts the connection but does not answer the bind.
    site.hosts["a"].mute = True
    calls = [site.ask(wait=0) for _ in range(3)]
    assert (calls, site.upstream("a").pool.waiting) == ([None] * 3, 3)
    site.wait(2)
    assert (site.upstream("a").tally.failed, site.upstream("a").circuit.failures) == (3, 1)


def test_a_call_that_is_not_answered_is_one_failure_of_the_host() -> None:
    site = Site("a", "b/10", health=HealthSettings(failures=2, interval=3600), attempt_timeout=1.0)
    site.hosts["a"].answer = lambda _: None
    site.ask(wait=1.1)
    assert site.upstream("a").circuit.failures == 1
    site.ask(wait=1.1)
    assert not site.upstream("a").circuit.healthy


def test_the_reserve_is_bound_before_it_is_needed_so_that_a_call_takes_one_round_trip() -> None:
    site = Site("a", pool=PoolSettings(floor=2))
    assert site.upstream("a").pool.idle == 2
    begun = site.clock.seconds()
    ended: list[float] = []
    site.hosts["a"].answer = lambda _: (0, b"x")
    site.ask(wait=0)
    while len(site.hosts["a"].messages) < 1 or site.upstream("a").pool.busy:
        site.clock.advance(0.0005)
    ended.append(site.clock.seconds())
    assert ended[0] - begun == pytest.approx(0.002, abs=0.0011)


@pytest.mark.parametrize("broken", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\x00\x02\x03" + b"\0" * 60])
def test_garbage_is_followed_by_the_next_host_and_its_connection_is_dropped(broken: bytes) -> None:
    site = Site("a", "b")
    first = first_of(site)
    site.hosts[first].answer = lambda _: broken
    answer = site.ask(wait=0.2)
    assert isinstance(answer, ActivationAnswer)
    assert answer.upstream == other_than(site, first)
    assert site.upstream(first).pool.busy == 0


def test_counts_return_to_the_floor_after_every_kind_of_failure() -> None:
    site = Site("a", pool=PoolSettings(floor=2, ceiling=8))
    host = site.hosts["a"]
    answers: list[Any] = [None, "lost", b"garbage", FaultStatus.CALL_FAILED, (0, b"x"), (NOT_COVERED, b"")]
    for answer in answers:
        host.answer = answering(answer)
        for _ in range(6):
            site.ask(wait=0)
        site.wait(12)
    host.answer = lambda _: (0, b"x")
    # Time for the circuit's trials, and for closing connections beyond the floor.
    site.wait(200)
    pool = site.upstream("a").pool
    assert (pool.busy, pool.waiting, pool.idle) == (0, 0, 2)
    assert len(host.open) == 2


def test_connections_beyond_the_floor_end_when_no_call_has_needed_them_for_half_a_minute_to_a_whole_one() -> None:
    site = Site("a", pool=PoolSettings(floor=2, ceiling=8))
    host, pool = site.hosts["a"], site.upstream("a").pool
    host.answer = lambda _: (0, b"x")

    def ask_at_once(number: int) -> None:
        for _ in range(number):
            site.ask(wait=0)
        site.wait(1)
        assert not pool.busy

    ask_at_once(6)
    assert pool.idle == 6
    # As long as calls need two of them, two stay in addition to the floor.
    for _ in range(6):
        site.wait(14)
        ask_at_once(2)
    assert pool.idle == 4
    site.wait(28)
    assert pool.idle == 4
    site.wait(32)
    assert (pool.idle, len(host.open)) == (2, 2)


def test_a_cancelled_call_leaves_nothing_behind() -> None:
    site = Site("a", pool=PoolSettings(floor=1, ceiling=1, queue=5))
    site.hosts["a"].answer = lambda _: None
    calls = [site.gateway.activate(ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)) for _ in range(3)]
    for call in calls:
        call.addErrback(lambda _: None)
    site.wait(0.1)
    assert site.upstream("a").load == 3
    for call in calls:
        call.cancel()
    site.wait(0.1)
    assert site.upstream("a").load == 0


def test_a_late_answer_goes_to_nobody() -> None:
    site = Site("a", attempt_timeout=1.0, deadline=1.0, pool=PoolSettings(floor=1, ceiling=1))
    host = site.hosts["a"]
    host.answer = lambda _: None
    first = site.ask(wait=1.1)
    assert isinstance(first, ActivationFault)
    [late, *_] = host.connections
    assert late.closed
    host.answer = lambda message: (0, b"for " + message)
    assert site.ask(message=b"\0\0\6\0 second", wait=1.5).message == b"for \0\0\6\0 second"


# Draining and changes while it runs.


def test_a_drained_host_gets_no_new_call_and_its_calls_under_way_are_finished() -> None:
    site = Site("a", "b")
    first = first_of(site)
    held: list[Any] = []
    site.hosts[first].answer = lambda message: (0, b"finished")
    outcome: list[ActivationAnswer] = []
    site.gateway.activate(ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)).addCallback(outcome.append)
    site.upstream(first).drain()
    site.wait(0.1)
    assert [answer.message for answer in outcome] == [b"finished"]
    assert held == []
    assert site.answered_by() == other_than(site, first)
    assert site.hosts[first].open == []
    site.upstream(first).undrain()
    assert site.answered_by() == first


def test_with_every_host_drained_a_client_is_told_unavailable() -> None:
    site = Site("a")
    site.gateway.directory.drain(["a"])
    fault = site.ask()
    assert isinstance(fault, ActivationFault)
    assert (fault.status, fault.reason) == (FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_NONE)
    assert fault.detail == "every upstream is drained"


def test_a_host_taken_out_of_the_configuration_finishes_its_calls_and_then_closes() -> None:
    site = Site("a", "b")
    held: list[Any] = []

    def hold(message: bytes) -> Any:
        held.append(message)

    site.hosts["a"].answer = hold
    site.hosts["b"].answer = hold
    site.ask(wait=0.05)
    [busy] = [name for name in site.hosts if site.upstream(name).load]
    kept = other_than(site, busy)
    site.gateway.apply(site_settings(kept))
    assert [upstream.name for upstream in site.gateway.directory.upstreams] == [kept]
    assert len(site.hosts[busy].open) == 1
    site.wait(6)
    assert site.hosts[busy].open == []


def test_a_host_that_was_taken_out_before_a_call_came_to_it_is_passed_over_at_once() -> None:
    site = Site("a/0", "b/1", "c/2")
    site.hosts["a/0"].answer = answering(None)
    outcome: list[Any] = []
    site.gateway.activate(ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)).addCallback(outcome.append)
    site.wait(0.1)
    site.gateway.apply(site_settings("a/0", "c/2"))
    connected = site.hosts["b/1"].attempts
    site.hosts["a/0"].down()
    site.wait(0.1)
    assert [answer.upstream for answer in outcome] == ["c/2"]
    assert site.hosts["b/1"].attempts == connected


def test_the_last_answer_of_a_host_that_was_taken_out_starts_nothing_there() -> None:
    site = Site("a")
    upstream = site.upstream("a")
    outcome: list[Any] = []
    site.gateway.activate(ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)).addCallback(outcome.append)
    for _ in range(site.settings.health.failures):
        upstream.circuit.failed(TimedOut("no answer"))
    site.gateway.apply(site_settings())
    site.wait(0.1)
    assert [answer.upstream for answer in outcome] == ["a"]
    assert not upstream.circuit.healthy
    site.gateway.stopService()
    assert site.clock.getDelayedCalls() == []


def test_an_unchanged_host_keeps_its_connections_and_its_drain() -> None:
    site = Site("a", "b")
    site.upstream("a").drain()
    before = list(site.hosts["b"].open)
    site.gateway.apply(site_settings("a", "b", "c"))
    site.wait(0.1)
    assert site.hosts["b"].open == before
    assert site.upstream("a").drained
    assert site.upstream("c").pool.idle == 2


def test_a_drained_host_stays_drained_when_its_pool_is_replaced_and_when_it_goes_and_comes_back() -> None:
    site = Site("a", "b")
    site.gateway.directory.drain(["a"])
    site.gateway.apply(site_settings("a", "b", pool=PoolSettings(floor=5)))
    site.wait(0.1)
    assert (site.upstream("a").state, site.hosts["a"].open) == ("drained", [])
    assert len(site.hosts["b"].open) == 5
    site.gateway.apply(site_settings("b"))
    site.gateway.apply(site_settings("a", "b"))
    assert site.upstream("a").state == "drained"
    site.gateway.directory.undrain("a")
    site.gateway.apply(site_settings("b"))
    site.gateway.apply(site_settings("a", "b"))
    assert site.upstream("a").state == "up"


def test_changed_pools_take_effect_without_cutting_a_call_off() -> None:
    site = Site("a")
    outcome: list[Any] = []
    site.gateway.activate(ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)).addCallback(outcome.append)
    site.gateway.apply(site_settings("a", pool=PoolSettings(floor=5)))
    site.wait(0.2)
    assert len(outcome) == 1
    assert site.upstream("a").pool.idle == 5


def test_stopping_closes_every_connection_and_leaves_no_timer() -> None:
    site = Site("a", "b")
    site.hosts["b"].down()
    site.wait(3)
    site.gateway.stopService()
    site.wait(0.1)
    assert site.hosts["a"].open == []
    assert site.clock.getDelayedCalls() == []


# Probes.


def test_a_host_that_stops_answering_is_found_by_probes_before_a_client_does() -> None:
    site = Site("a", "b", health=HealthSettings(interval=10, failures=2))
    first = first_of(site)
    site.hosts[first].reachable = False
    site.hosts[first].mute = True
    site.wait(40)
    assert not site.upstream(first).circuit.healthy
    assert first_of(site) == other_than(site, first)


def test_probes_ask_for_no_activation() -> None:
    site = Site("a", health=HealthSettings(interval=10))
    site.wait(100)
    assert len(site.hosts["a"].connections) > 5
    assert site.hosts["a"].messages == []


def test_while_a_host_is_down_it_is_tried_with_growing_waits_only() -> None:
    site = Site("a", random=1.0 - 1e-9, health=HealthSettings(backoff_first=1, backoff_longest=16, failures=1))
    site.hosts["a"].down()
    site.wait(5)
    before = site.hosts["a"].attempts
    site.wait(160)
    assert 9 <= site.hosts["a"].attempts - before <= 12


def test_two_silent_hosts_leave_a_third_the_time_to_answer() -> None:
    site = Site("a", "b", "c", deadline=10.0, attempt_timeout=5.0, health=HealthSettings(failures=100, interval=3600))
    silent = [name for name in site.hosts if name != last_of(site)]
    for name in silent:
        site.hosts[name].answer = lambda _: None
    begun = site.clock.seconds()
    assert site.ask(wait=10).upstream == last_of(site)
    # Both were silent a moment ago, and are asked after the one that answers.
    asked = [len(site.hosts[name].messages) for name in silent]
    assert site.ask(wait=0.1).upstream == last_of(site)
    assert [len(site.hosts[name].messages) for name in silent] == asked
    assert site.clock.seconds() - begun <= 10.2


def last_of(site: Site) -> str:
    """The host that is asked last for the usual client while all are well."""
    last: Upstream = sticky_order([site.upstream(name) for name in site.hosts], "10.0.0.7")[-1]
    return last.name


def test_a_client_s_order_of_hosts_is_kept_until_a_host_changes() -> None:
    site = Site("a", "b", "c")
    directory = site.gateway.directory
    first, second, third = (directory.in_order("10.0.0.7", None)[turn].name for turn in range(3))
    assert site.answered_by() == first
    kept = directory.known_orders["10.0.0.7"]
    assert site.answered_by() == first
    assert directory.known_orders["10.0.0.7"] is kept
    directory.drain([first])
    assert site.answered_by() == second
    directory.undrain(first)
    assert site.answered_by() == first
    site.upstream(first).circuit_opened(None)
    assert directory.known_orders == {}
    site.hosts[third].answer = lambda _: None
    site.upstream(third).not_answered(TimedOut("no answer within 1 s"))
    assert site.answered_by() == first
    assert directory.known_orders == {}, "it will be asked in its turn again when some time has passed"


@pytest.mark.parametrize(("of", "most"), [("_KNOWN", 2), ("_KNOWN_HOSTS", 5)], ids=["clients", "hosts"])
def test_the_number_of_kept_orders_is_bounded(of: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"kmstwist.gateway.directory.{of}", most)
    site = Site("a", "b")
    for number in range(5):
        assert site.answered_by(f"10.0.0.{number}")
        assert len(site.gateway.directory.known_orders) <= 2
