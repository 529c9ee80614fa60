from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.gateway.choice import rendezvous_score, spread_order, sticky_order


@dataclass(frozen=True)
class Host:
    name: str
    priority: int = 0
    share: float = 100.0
    load: int = 0


HOSTS = st.lists(
    st.builds(
        Host, st.text("abc", min_size=1, max_size=4), st.integers(0, 2), st.floats(0.1, 65535.0), st.integers(0, 9)
    ),
    max_size=6,
    unique_by=lambda host: host.name,
)
CLIENTS = [f"10.{n // 250}.{n % 250}.7" for n in range(4000)]


@given(HOSTS, st.ip_addresses().map(str))
def test_a_lower_priority_is_always_asked_first(hosts: list[Host], client: str) -> None:
    for order in (sticky_order, spread_order):
        priorities = [host.priority for host in order(hosts, client)]
        assert priorities == sorted(priorities)
        assert len(priorities) == len(hosts)


@given(HOSTS, st.ip_addresses().map(str), st.randoms())
def test_a_client_s_order_does_not_depend_on_the_order_of_the_hosts(
    hosts: list[Host], client: str, random: object
) -> None:
    shuffled = list(hosts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sticky_order(hosts, client) == sticky_order(shuffled, client)


@given(HOSTS.filter(lambda hosts: len(hosts) > 1), st.ip_addresses().map(str), st.data())
def test_when_a_host_goes_the_order_of_the_others_stays(hosts: list[Host], client: str, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(hosts))
    before = [host for host in sticky_order(hosts, client) if host is not gone]
    assert sticky_order([host for host in hosts if host is not gone], client) == before


def test_clients_are_shared_out_by_weight() -> None:
    hosts = [Host("one", share=100.0), Host("three", share=300.0)]
    first = Counter(sticky_order(hosts, client)[0].name for client in CLIENTS)
    assert 0.72 < first["three"] / len(CLIENTS) < 0.78


def test_a_new_host_takes_only_its_own_clients() -> None:
    before = [Host("a"), Host("b")]
    after = [*before, Host("c")]
    moved = {
        sticky_order(after, client)[0].name
        for client in CLIENTS
        if sticky_order(after, client)[0].name != sticky_order(before, client)[0].name
    }
    assert moved == {"c"}


def test_spread_takes_the_least_busy_for_its_weight() -> None:
    hosts = [Host("idle", share=100.0, load=1), Host("strong", share=300.0, load=3), Host("busy", share=100.0, load=9)]
    assert [host.name for host in spread_order(hosts, "10.0.0.7")] == ["strong", "idle", "busy"]


@given(st.text(), st.floats(0.01, 65535.0), st.text())
def test_a_score_is_a_positive_number_for_any_name_and_client(name: str, weight: float, client: str) -> None:
    assert 0 < rendezvous_score(name, weight, client) < float("inf")
