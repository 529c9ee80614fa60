from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.kms.catalogue import Product, find
from kmstwist.kms.messages import LicenseStatus, Request, Response
from kmstwist.kms.version import V5
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.keys import LabKey

from .conftest import DAY, START, machine


def answer(request: Request, count: int = 25, **changes: Any) -> Response:
    response = Response(request.version, "LAB-1", request.cmid, request.client_time, count, 120, 10_080)
    return replace(response, **changes)


def test_a_new_machine_asks_in_initial_grace_with_30_days_left(windows: Product) -> None:
    request = machine(1, windows).request(START)
    assert (request.license_status, request.minutes_left) == (LicenseStatus.OOB_GRACE, 43_200)
    assert (request.required_count, request.vm_info) == (25, 0)


def test_time_left_is_counted_in_whole_minutes(windows: Product) -> None:
    client = machine(1, windows)
    assert client.request(START + 59).minutes_left == 43_199
    assert client.request(START + 60).minutes_left == 43_199
    assert client.request(START + 61).minutes_left == 43_198


def test_a_count_of_the_threshold_licenses_for_180_days(windows: Product) -> None:
    client = machine(1, windows)
    outcome = client.process(0, answer(client.request(START)), START)
    assert outcome.activated
    assert client.status is LicenseStatus.LICENSED
    assert client.expires == START + 180 * DAY
    assert outcome.next_attempt == client.next_attempt == START + 7 * DAY
    assert client.last_success == START


def test_a_count_below_the_threshold_leaves_grace_and_retries_after_120_minutes(windows: Product) -> None:
    client = machine(1, windows)
    outcome = client.process(0, answer(client.request(START), count=24), START)
    assert (outcome.hresult, outcome.activated, outcome.count) == (0xC004F038, False, 24)
    assert client.status is LicenseStatus.OOB_GRACE
    assert client.next_attempt == START + 7200


def test_the_hosts_intervals_are_used_from_its_first_answer_on(windows: Product) -> None:
    client = machine(1, windows)
    client.process(0, answer(client.request(START), activation_interval=15, renewal_interval=60), START)
    assert client.next_attempt == START + 3600
    client.request(START + 3600)
    client.process(0x800706BA, None, START + 3600)
    assert client.next_attempt == START + 3600 + 900


def test_the_whole_life_of_a_machine_whose_host_goes_away(windows: Product) -> None:
    client = machine(1, windows)
    client.process(0, answer(client.request(START)), START)
    expiry = START + 180 * DAY
    for moment, status in [
        (expiry - 1, LicenseStatus.LICENSED),
        (expiry, LicenseStatus.OOT_GRACE),
        (expiry + 30 * DAY - 1, LicenseStatus.OOT_GRACE),
        (expiry + 30 * DAY, LicenseStatus.NOTIFICATION),
    ]:
        client.request(moment)
        assert client.process(0xC004F074, None, moment).status is status
    assert client.expires is None
    assert client.minutes_left(expiry + 31 * DAY) == 0
    back = expiry + 40 * DAY
    assert client.process(0, answer(client.request(back)), back).status is LicenseStatus.LICENSED


def test_a_machine_left_alone_for_years_ends_in_notification_mode(windows: Product) -> None:
    client = machine(1, windows)
    client.process(0, answer(client.request(START)), START)
    assert client.advance(START + 1000 * DAY) is LicenseStatus.NOTIFICATION


def test_a_machine_that_never_activates_is_in_notification_mode_after_30_days(windows: Product) -> None:
    client = machine(1, windows)
    assert client.advance(START + 30 * DAY - 1) is LicenseStatus.OOB_GRACE
    assert client.advance(START + 30 * DAY) is LicenseStatus.NOTIFICATION


def test_a_renewal_that_fails_leaves_the_licence_and_retries_sooner(windows: Product) -> None:
    client = machine(1, windows)
    client.process(0, answer(client.request(START)), START)
    week = START + 7 * DAY
    outcome = client.process(0, answer(client.request(week), count=3), week)
    assert (outcome.hresult, outcome.status) == (0xC004F038, LicenseStatus.LICENSED)
    assert client.expires == START + 180 * DAY
    assert client.next_attempt == week + 7200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cmid": UUID(int=99)}, "is for client"),
        ({"client_time": 1}, "another request's time"),
        ({"version": V5}, "version 5.0"),
        ({"host_id": "55041-00206-271-298329-03-1033"}, "not a lab host"),
    ],
)
def test_an_answer_that_does_not_fit_the_request_changes_nothing(
    windows: Product, changes: dict[str, Any], words: str
) -> None:
    client = machine(1, windows)
    outcome = client.process(0, answer(client.request(START), **changes), START)
    assert outcome.hresult == 0x8007000D
    assert words in outcome.detail
    assert (client.status, client.host_id) == (LicenseStatus.OOB_GRACE, None)


def test_an_answer_is_taken_once(windows: Product) -> None:
    client = machine(1, windows)
    response = answer(client.request(START))
    client.process(0, response, START)
    assert client.process(0, response, START + 1).hresult == 0x8007000D
    assert client.expires == START + 180 * DAY


def test_success_without_a_response_is_not_a_success(windows: Product) -> None:
    client = machine(1, windows)
    client.request(START)
    assert client.process(0, None, START).hresult == 0x8007000D


def test_an_answer_of_another_lab_is_not_believed(windows: Product, random_bytes: Callable[[int], bytes]) -> None:
    client = machine(1, windows)
    other = LabCipher(LabKey(bytes(32)), random_bytes)
    message = other.seal_response(answer(client.request(START)))
    outcome = client.process_message(LabCipher(LabKey(bytes(range(32))), random_bytes), 0, message, START)
    assert outcome.hresult == 0x8007000D
    assert "not this lab's" in outcome.detail


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(60, 40 * DAY), st.sampled_from([0, 24, 25, None])), max_size=40))
def test_no_machine_is_licensed_without_a_success_in_the_last_180_days(steps: list[tuple[int, int | None]]) -> None:
    client = machine(1, find("Windows 11 / 10 Enterprise"))
    now = START
    succeeded: float | None = None
    for pause, count in steps:
        now += pause
        licensed = client.advance(now) is LicenseStatus.LICENSED
        assert licensed == (succeeded is not None and now < succeeded + 180 * DAY)
        request = client.request(now)
        if count is None:
            client.process(0xC004F074, None, now)
        elif client.process(0, answer(request, count=count), now).activated:
            assert count >= 25
            succeeded = now
        assert client.next_attempt >= now + 120 * 60
