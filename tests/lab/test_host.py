from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.kms.catalogue import OFFICE, WINDOWS, Product, find, products
from kmstwist.kms.labids import activation_id, kms_id, product_of
from kmstwist.kms.version import Version
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import LabKey
from kmstwist.reasons import Reason
from tests.lab.conftest import changes_of, granted

from .conftest import DAY, START, Clock, ask, machine

HOUR = 3600


def test_the_24th_client_stays_in_grace_and_the_25th_is_licensed(host: LabHost, windows: Product) -> None:
    outcomes = [ask(host, machine(number, windows), START) for number in range(30)]
    assert [outcome.count for outcome in outcomes] == list(range(1, 31))
    assert [outcome.hresult for outcome in outcomes] == [0xC004F038] * 24 + [0] * 6
    assert outcomes[23].detail == "count 24 of 25"


def test_a_client_that_asks_again_counts_once(host: LabHost, windows: Product) -> None:
    client = machine(1, windows)
    assert [ask(host, client, START).count for _ in range(3)] == [1, 1, 1]


def test_clients_with_one_cmid_count_as_one(host: LabHost, windows: Product) -> None:
    clones = [replace(machine(number, windows).request(START), cmid=UUID(int=7)) for number in range(30)]
    assert {granted(host, request).count for request in clones} == {1}


def test_the_count_of_windows_clients_stops_at_50(host: LabHost, windows: Product) -> None:
    counts = [ask(host, machine(number, windows), START).count for number in range(60)]
    assert counts == [*range(1, 51), *[50] * 10]
    assert len(host.clients(WINDOWS)) == 50


def test_applications_that_no_product_has_are_not_remembered(host: LabHost, windows: Product) -> None:
    known = machine(1, windows).request(START)
    for number in range(100):
        hresult, _ = host.decide(replace(known, app_id=UUID(int=number)))
        assert hresult == 0xC004F042
    assert host.decide(known)[0] == 0
    assert list(changes_of(host).applications) == [WINDOWS]


def test_the_count_stops_at_10_where_only_servers_ask(host: LabHost, server: Product) -> None:
    counts = [ask(host, machine(number, server), START).count for number in range(15)]
    assert counts == [*range(1, 11), *[10] * 5]


def test_the_count_stops_at_10_for_office_beside_50_windows_clients(
    host: LabHost, windows: Product, office: Product
) -> None:
    for number in range(60):
        ask(host, machine(number, windows), START)
    assert [ask(host, machine(number, office), START).count for number in range(12)][-1] == 10
    assert (host.count(WINDOWS), host.count(OFFICE)) == (50, 10)


def test_one_windows_client_beside_servers_lifts_the_limit_from_10(
    host: LabHost, server: Product, windows: Product
) -> None:
    for number in range(20):
        ask(host, machine(number, server), START)
    assert ask(host, machine(100, windows), START).count == 11
    assert ask(host, machine(101, server), START).count == 12


def test_a_client_counts_for_exactly_30_days(host: LabHost, windows: Product, clock: Clock) -> None:
    ask(host, machine(1, windows), START)
    clock.now = START + 30 * DAY
    assert host.count(WINDOWS) == 1
    clock.now += 1
    assert host.count(WINDOWS) == 0
    assert ask(host, machine(2, windows), clock.now).count == 1


def test_a_renewal_keeps_a_client_counted(host: LabHost, windows: Product, clock: Clock) -> None:
    client = machine(1, windows)
    for day in range(0, 71, 7):
        clock.now = START + day * DAY
        ask(host, client, clock.now)
    assert host.count(WINDOWS) == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_exactly_4_hours_off_is_accepted_and_a_tick_more_is_not(
    host: LabHost, windows: Product, sign: int
) -> None:
    request = machine(1, windows).request(START, clock_error=sign * 4 * HOUR)
    assert host.decide(request)[0] == 0
    off = replace(request, client_time=request.client_time + sign)
    assert host.decide(off) == (0xC004F06C, None)


def test_a_refused_client_does_not_count(host: LabHost, windows: Product) -> None:
    host.decide(machine(1, windows).request(START, clock_error=5 * HOUR))
    assert host.count(WINDOWS) == 0
    assert (host.counters.total, host.counters.failed) == (1, 1)


def test_a_clock_that_is_off_is_explained(
    host: LabHost, windows: Product, key: LabKey, random_bytes: Callable[[int], bytes]
) -> None:
    message = LabCipher(key, random_bytes).seal_request(machine(1, windows).request(START, clock_error=-4.5 * HOUR))
    answer = host.answer(message, "10.0.0.7")
    assert (answer.hresult, answer.reason, answer.message) == (0xC004F06C, Reason.LAB_CLOCK, b"")
    assert answer.detail == "the clock of PC-00001 is 4 h 30 min behind the host's; 4 hours are allowed"
    assert answer.facts is not None
    assert answer.facts.machine_name == "PC-00001"


def test_a_product_the_host_does_not_cover_is_refused(
    key: LabKey, clock: Clock, random_bytes: Callable[[int], bytes], windows: Product, office: Product
) -> None:
    host = LabHost(key, now=clock, random=random_bytes, covered=[office])
    cipher = LabCipher(key, random_bytes)
    answer = host.answer(cipher.seal_request(machine(1, windows).request(START)))
    assert (answer.hresult, answer.reason) == (0xC004F042, Reason.LAB_UNKNOWN_PRODUCT)
    assert host.answer(cipher.seal_request(machine(1, office).request(START))).hresult == 0


def test_a_product_under_the_wrong_application_is_refused(host: LabHost, windows: Product) -> None:
    assert host.decide(replace(machine(1, windows).request(START), app_id=OFFICE))[0] == 0xC004F042


@pytest.mark.parametrize("major", [4, 5, 6])
def test_a_lab_client_of_each_version_gets_a_sealed_answer(
    host: LabHost, key: LabKey, random_bytes: Callable[[int], bytes], windows: Product, major: int
) -> None:
    cipher = LabCipher(key, random_bytes)
    client = machine(1, windows, version=Version(major, 0))
    answer = host.answer(client.seal_request(cipher, START), "10.0.0.7")
    assert (answer.hresult, answer.count, answer.reason) == (0, 1, Reason.OK)
    assert answer.facts is not None
    assert answer.facts.product == "Windows 11 / 10 Enterprise"
    outcome = client.process_message(cipher, answer.hresult, answer.message, START)
    assert (outcome.hresult, outcome.count) == (0xC004F038, 1)
    assert client.host_id == key.host_id


@pytest.mark.parametrize(("major", "size"), [(4, 252), (5, 260), (6, 260)])
def test_a_genuine_clients_request_is_refused_and_recognised(
    host: LabHost, random_bytes: Callable[[int], bytes], major: int, size: int
) -> None:
    message = Version(major, 0).word.to_bytes(4, "little") + random_bytes(size - 4)
    answer = host.answer(message, "10.0.0.7")
    assert (answer.hresult, answer.message, answer.reason) == (0x8007000D, b"", Reason.LAB_FOREIGN_MESSAGE)
    assert answer.detail == (
        f"10.0.0.7 sent a V{major} request that is not the lab's: is it a real Windows or Office client? "
        "The lab grants no licences; configure an upstream."
    )
    assert (host.counters.total, host.counters.failed) == (1, 1)


@pytest.mark.parametrize("message", [b"", b"\0\0\6\0", bytes(260), b"\0\0\6\0" + bytes(300)])
def test_a_message_that_is_not_a_request_is_a_bad_message(host: LabHost, message: bytes) -> None:
    answer = host.answer(message, "10.0.0.7")
    assert (answer.hresult, answer.message, answer.reason) == (0x8007000D, b"", Reason.LAB_BAD_MESSAGE)
    assert answer.detail.startswith("10.0.0.7 sent no KMS request: ")


def test_a_response_names_the_host_its_intervals_and_the_request(host: LabHost, key: LabKey, windows: Product) -> None:
    request = machine(1, windows).request(START)
    response = granted(host, request)
    assert response.host_id == key.host_id
    assert (response.activation_interval, response.renewal_interval) == (120, 10_080)
    assert (response.cmid, response.client_time, response.version) == (
        request.cmid,
        request.client_time,
        request.version,
    )


@pytest.mark.parametrize("minutes", [14, 43_201, 0, -1])
def test_an_interval_outside_the_published_limits_is_refused(
    host: LabHost, key: LabKey, clock: Clock, random_bytes: Callable[[int], bytes], minutes: int
) -> None:
    with pytest.raises(ValueError, match="activation interval"):
        LabHost(key, now=clock, random=random_bytes, activation_interval=minutes)
    with pytest.raises(ValueError, match="renewal interval"):
        host.renewal_interval = minutes


def test_counters_count_requests_by_licence_status(host: LabHost, windows: Product) -> None:
    request = machine(1, windows).request(START)
    for status in (0, 1, 1, 2, 5, 99):
        host.decide(replace(request, license_status=status))
    assert host.counters.total == 6
    assert host.counters.by_status == {0: 1, 1: 2, 2: 1, 3: 0, 4: 0, 5: 1, 6: 0}


def test_changes_are_handed_out_once_and_again_if_returned(host: LabHost, windows: Product) -> None:
    assert host.take_changes() is None
    ask(host, machine(1, windows), START)
    changes = changes_of(host)
    assert [client.machine_name for client in changes.applications[WINDOWS].clients] == ["PC-00001"]
    assert host.take_changes() is None
    host.return_changes(changes)
    assert host.take_changes() == changes


def test_changes_stay_bounded_however_many_clients_ask(host: LabHost, windows: Product) -> None:
    for number in range(5_000):
        host.decide(machine(number, windows).request(START))
    changes = changes_of(host)
    assert sum(len(application.clients) for application in changes.applications.values()) == 50
    assert changes.counters.total == 5_000


def test_a_clock_set_back_before_a_restart_keeps_no_client_longer(
    key: LabKey, windows: Product, random_bytes: Callable[[int], bytes]
) -> None:
    clock = Clock(START + 400 * DAY)
    host = LabHost(key, now=clock, random=random_bytes)
    ask(host, machine(1, windows, installed=clock.now), clock.now)
    clock.now = START
    again = LabHost(key, now=clock, random=random_bytes, memory=host.take_changes())
    clock.now = START + 31 * DAY
    assert again.count(WINDOWS) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 80), st.sampled_from([0, 5, 25, 0xFFFF_FFFF]), st.integers(0, 5 * DAY)),
        max_size=150,
    )
)
def test_the_count_never_exceeds_its_limit_nor_the_machines_that_asked(steps: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    host = LabHost(LabKey(bytes(32)), now=clock, random=bytes)
    product = find("Windows 11 / 10 Enterprise")
    asked: dict[int, float] = {}
    for number, required, pause in steps:
        clock.now += pause
        asked[number] = clock.now
        response = granted(host, replace(machine(number, product).request(clock.now), required_count=required))
        recent = sum(1 for moment in asked.values() if moment >= clock.now - 30 * DAY)
        assert 1 <= response.count <= min(50, recent)
        if recent <= 2:
            assert response.count == recent


def test_lab_product_ids_are_the_projects_own_and_lead_back(windows: Product) -> None:
    ids = {activation_id(product.name) for product in products()} | {kms_id(name) for name in ("Windows", "Office")}
    assert len(ids) == len(products()) + 2
    assert all(one.version == 5 for one in ids)
    assert product_of(activation_id(windows.name)) == windows
    assert product_of(uuid4()) is None
