from __future__ import annotations

import tracemalloc
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.internet.task import Clock

from kmstwist.admission.admission import Admission
from kmstwist.admission.networks import NetworkTable
from kmstwist.admission.rates import TokenBuckets
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.networks import network_around, normalised
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus


def admission(clock: Clock | None = None, connections: int = 1000, **settings: Any) -> Admission:
    return Admission(AdmissionSettings.model_validate(settings), clock or Clock(), connections=connections)


def admitted(judge: Admission, client: str) -> bool:
    return judge.judge(client) is None


@pytest.mark.parametrize(
    "client", ["10.1.2.3", "172.31.0.1", "192.168.7.7", "169.254.1.1", "127.0.0.1", "::1", "fd00::7", "fe80::1%eth0"]
)
def test_private_link_local_and_loopback_addresses_may_ask_by_default(client: str) -> None:
    assert admitted(admission(), client)


@pytest.mark.parametrize("client", ["8.8.8.8", "172.32.0.1", "2001:db8::1", "100.64.0.1"])
def test_any_other_address_is_refused_by_default_with_access_denied(client: str) -> None:
    refusal = admission().judge(client)
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (FaultStatus.ACCESS_DENIED, Reason.ADMISSION_NETWORK)
    assert client in refusal.detail


def test_the_most_specific_network_decides() -> None:
    judge = admission(allow=["10.0.0.0/8", "10.66.7.0/24"], deny=["10.66.0.0/16", "10.66.7.9"])
    outcomes = {c: admitted(judge, c) for c in ("10.1.1.1", "10.66.1.1", "10.66.7.1", "10.66.7.9", "11.0.0.1")}
    assert outcomes == {"10.1.1.1": True, "10.66.1.1": False, "10.66.7.1": True, "10.66.7.9": False, "11.0.0.1": False}


def test_a_mapped_address_is_judged_as_the_ipv4_address_it_is() -> None:
    judge = admission(allow=["10.0.0.0/8"])
    assert admitted(judge, "::ffff:10.0.0.7")
    assert not admitted(judge, "::ffff:11.0.0.7")


def test_a_mapped_network_in_the_configuration_is_the_ipv4_network_it_is() -> None:
    assert admitted(admission(allow=["::ffff:10.0.0.0/104"]), "10.200.0.7")


NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: ip_network(f"{pair[0]}/{pair[1]}", strict=False))


@given(st.dictionaries(NETWORKS, st.booleans(), max_size=8), st.data())
def test_the_table_finds_what_a_search_through_all_networks_finds(networks: Any, data: st.DataObject) -> None:
    near = [network.network_address for network in networks]
    address = data.draw(st.one_of(st.ip_addresses(), *([st.sampled_from(near)] if near else [])))
    containing = [n for n in networks if n.version == address.version and address in n]
    expected = networks[max(containing, key=lambda n: n.prefixlen)] if containing else None
    assert NetworkTable(networks).find(address) == expected


@given(st.ip_addresses(), st.integers(8, 32), st.integers(16, 128))
def test_a_client_network_is_the_one_that_ipaddress_says(address: Any, ipv4: int, ipv6: int) -> None:
    prefix = ipv4 if address.version == 4 else ipv6
    assert network_around(address, ipv4, ipv6) == str(ip_network(f"{address}/{prefix}", strict=False))


@given(st.text())
def test_no_text_for_an_address_makes_it_raise(text: str) -> None:
    address = normalised(text)
    assert address is None or ip_address(str(address)) == address


def test_a_client_past_its_rate_gets_too_busy_until_its_bucket_fills() -> None:
    clock = Clock()
    judge = admission(clock, client_rate=60, client_burst=3)
    assert [admitted(judge, "10.0.0.7") for _ in range(5)] == [True] * 3 + [False] * 2
    refusal = judge.judge("10.0.0.7")
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (FaultStatus.SERVER_TOO_BUSY, Reason.ADMISSION_RATE)
    assert admitted(judge, "10.0.0.8")
    clock.advance(1)
    assert [admitted(judge, "10.0.0.7") for _ in range(2)] == [True, False]


def test_a_network_past_its_rate_is_told_so_and_its_clients_keep_their_own_tokens() -> None:
    clock = Clock()
    judge = admission(clock, client_rate=60, client_burst=1, network_rate=60, network_burst=2)
    assert [admitted(judge, f"10.0.0.{n}") for n in range(1, 4)] == [True, True, False]
    assert admitted(judge, "10.0.1.1")
    refusal = judge.judge("10.0.0.3")
    assert refusal is not None
    assert refusal.reason is Reason.ADMISSION_NETWORK_RATE
    assert "10.0.0.0/24" in refusal.detail
    clock.advance(1)
    assert admitted(judge, "10.0.0.3")


def test_an_exempt_client_has_no_rate_and_no_cap() -> None:
    judge = admission(client_rate=1, client_burst=1, client_connections=1, exempt=["10.9.0.0/16"])
    assert all(admitted(judge, "10.9.0.1") for _ in range(50))
    assert [judge.opened("10.9.0.1") for _ in range(5)] == [None] * 5


def test_a_network_is_as_large_as_the_configuration_says() -> None:
    judge = admission(network_rate=60, network_burst=2, network_prefix_ipv4=16, network_prefix_ipv6=32)
    for addresses in (
        ("10.1.1.1", "10.1.2.1", "10.1.3.1", "10.2.1.1"),
        ("fd00::1", "fd00:0:1::1", "fd00:0:2::1", "fd00:1::1"),
    ):
        assert [admitted(judge, address) for address in addresses] == [True, True, False, True]


def test_an_ipv6_client_cannot_escape_its_network_s_rate_by_changing_its_address() -> None:
    judge = admission(network_rate=60, network_burst=5)
    assert sum(admitted(judge, f"fd00::{n:x}") for n in range(1, 100)) == 5


def test_memory_is_bounded_however_many_addresses_appear() -> None:
    judge = admission(client_rate=60, network_rate=60, remembered=16)

    def appear(first: int, number: int) -> None:
        for at in range(first, first + number):
            # One that may ask, from a network of its own, and one that may not.
            for address in (f"fd00:0:{at:x}::1", f"2001:db8:{at:x}::1"):
                judge.opened(address)
                judge.judge(address)
                judge.judge_packets(address, 3)
                judge.closed(address)

    appear(0, 50)
    tracemalloc.start()
    try:
        appear(50, 1000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 16 addresses in each of the tables are 20,000; a single table that forgets none makes it 600,000.
    assert kept < 50_000
    assert judge.remembered == 32
    assert judge.open_connections == 0


def test_no_more_clients_are_free_than_are_remembered() -> None:
    judge = admission(remembered=16)
    for number in range(100):
        assert admitted(judge, f"fd00::{number + 1:x}")
        assert 1 <= len(judge.free) <= 16


@given(st.lists(st.floats(0, 30), max_size=60), st.floats(1, 600), st.integers(1, 20))
def test_a_bucket_never_lets_through_more_than_its_burst_and_its_rate(
    pauses: list[float], rate: float, burst: int
) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, burst, 10, clock.seconds)
    taken = 0
    for pause in pauses:
        clock.advance(pause)
        taken += buckets.take("a")
        assert taken <= burst + clock.seconds() * rate / 60 + 1e-6


def test_connections_past_a_client_s_cap_are_refused_and_counted_down_again() -> None:
    judge = admission(client_connections=2)
    refusals = [judge.opened("10.0.0.7") for _ in range(3)]
    assert [refusal and refusal.reason for refusal in refusals] == [None, None, Reason.ADMISSION_CONNECTIONS]
    assert judge.opened("10.0.0.8") is None
    for _ in range(2):
        judge.closed("10.0.0.7")
    assert judge.opened("10.0.0.7") is None


def test_connections_past_the_total_are_refused() -> None:
    judge = admission(connections=2)
    refusals = [judge.opened(f"10.0.0.{n}") for n in range(3)]
    assert [refusal and refusal.reason for refusal in refusals] == [None, None, Reason.SERVER_CONNECTIONS]


def test_one_client_gets_half_of_the_connections_if_there_are_few() -> None:
    judge = admission(connections=16)
    refusals = [judge.opened("10.0.0.7") for _ in range(9)]
    assert [refusal and refusal.reason for refusal in refusals] == [*[None] * 8, Reason.ADMISSION_CONNECTIONS]
    judge.closed("10.0.0.7")
    assert judge.opened("10.0.0.8") is None


def test_while_paused_every_call_gets_too_busy() -> None:
    judge = admission()
    judge.paused = True
    refusal = judge.judge("127.0.0.1")
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (FaultStatus.SERVER_TOO_BUSY, Reason.SERVER_PAUSED)
    assert judge.judge("local") == refusal
    # Who may never ask need not come back later.
    denied = judge.judge("8.8.8.8")
    assert denied is not None
    assert denied.status == FaultStatus.ACCESS_DENIED


def test_balancers_come_and_go_with_the_settings() -> None:
    judge = admission()
    assert not judge.is_balancer("10.0.0.1")
    for balancers, is_one in ((["10.0.0.0/30"], True), ([], False)):
        judge.apply(AdmissionSettings.model_validate({"proxy_from": balancers}), connections=1000)
        assert judge.is_balancer("10.0.0.1") is is_one
        assert not judge.is_balancer("10.0.0.9")


def test_a_client_whose_calls_nobody_counts_is_free_once_it_was_judged() -> None:
    judge = admission(client_rate=60, exempt=["10.7.0.0/16"], deny=["10.66.0.0/16"])
    for client in ("10.7.0.1", "10.1.0.1", "10.66.0.1", "local"):
        judge.judge(client)
    assert judge.free == {"10.7.0.1", "local"}


def test_no_client_is_exempt_while_paused_or_after_a_change_of_the_settings() -> None:
    judge = admission()
    assert admitted(judge, "10.0.0.1")
    assert judge.free == {"10.0.0.1"}
    judge.paused = True
    assert not admitted(judge, "10.0.0.1")
    assert not judge.free
    judge.paused = False
    assert admitted(judge, "10.0.0.1")
    judge.apply(AdmissionSettings.model_validate({"deny": ["10.0.0.0/8"]}), connections=1000)
    assert not judge.free


@given(st.sampled_from(["10.1.0.1", "10.7.0.1", "10.66.0.1", "8.8.8.8", "local", "::1"]), st.booleans(), st.booleans())
def test_a_free_client_would_be_admitted_and_so_would_any_number_of_its_pdus(
    client: str, client_rate: bool, network_rate: bool
) -> None:
    judge = admission(
        client_rate=float(client_rate), network_rate=float(network_rate), exempt=["10.7.0.0/16"], deny=["10.66.0.0/16"]
    )
    judge.judge(client)
    if client in judge.free:
        assert admitted(judge, client)
        assert judge.judge_packets(client, 1_000_000) is None
    else:
        assert not all(admitted(judge, client) for _ in range(1000))


def test_changed_settings_hold_from_the_next_call_on_and_open_connections_stay_counted() -> None:
    judge = admission()
    judge.opened("10.0.0.7")
    judge.apply(AdmissionSettings.model_validate({"deny": ["10.0.0.7"]}), connections=1)
    assert not admitted(judge, "10.0.0.7")
    assert judge.opened("10.0.0.8") is not None


def test_a_reload_that_changes_nothing_of_it_forgets_no_client_s_rate() -> None:
    clock = Clock()
    judge = admission(clock, client_rate=60, client_burst=1)
    assert admitted(judge, "10.0.0.7")
    judge.apply(AdmissionSettings.model_validate({"client_rate": 60, "client_burst": 1}), connections=5)
    assert not admitted(judge, "10.0.0.7")
    judge.apply(AdmissionSettings.model_validate({"client_rate": 60, "client_burst": 2}), connections=5)
    assert admitted(judge, "10.0.0.7")


def test_a_network_that_is_allowed_by_default_can_be_denied() -> None:
    judge = admission(Clock(), deny=["10.0.0.0/8"])
    assert not admitted(judge, "10.0.0.7")
    assert admitted(judge, "192.168.0.7")
    # Written down, what is in force is what was meant.
    settings = AdmissionSettings.model_validate({"deny": ["10.0.0.0/8", "fe80::/10"]})
    assert AdmissionSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_a_network_both_allowed_and_denied_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match=r"10\.0\.0\.0/8 is in allow and in deny"):
        AdmissionSettings.model_validate({"allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"]})
