"""A machine that lives through days: its timeline, computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.living import live
from kmstwist.lab.machines.store import MachineStore
from tests.lab.machines.conftest import Desk

from .conftest import DAY, OFFICE, START, WINDOWS, result_of

HOURS_2: Any = pytest.approx(2 / 24)


def lived(desk: Desk, days: float) -> list[list[tuple[float, int]]]:
    """Let the desk's machine live this many days. Returns its Windows and Office attempts as (day, code)."""
    attempts = result_of(live(desk.machine, days * DAY, desk.asking()))
    desk._log()
    codes = [(attempt.product, attempt.day, attempt.error.code if attempt.error else 0) for attempt in attempts]
    return [[(day, code) for product, day, code in codes if product == one.name] for one in (WINDOWS, OFFICE)]


def test_it_asks_every_two_hours_until_it_is_licensed_and_then_renews_every_seven_days(desk: Desk) -> None:
    desk.fill(10, OFFICE)
    windows, office = lived(desk, 15)
    assert office == [(0, 0), (7, 0), (14, 0)]
    assert windows == [(pytest.approx(number / 12), 0xC004F038) for number in range(15 * 12 + 1)]
    assert desk.machine.licences[0].client.status is LicenseStatus.OOB_GRACE
    assert desk.machine.licences[0].client.minutes_left(START) == 15 * 1440
    assert desk.machine.licences[1].client.expires == START + 179 * DAY
    # The days that it lived through lie before now.
    assert [event.at for event in desk.events[:2]] == [START - 15 * DAY] * 2
    assert desk.events[0].fields[4] == "2025/12/21 00:00"


def test_a_renewal_that_fails_is_tried_every_two_hours_and_the_licence_runs_out_on_day_180(desk: Desk) -> None:
    desk.fill(30)
    desk.fill(10, OFFICE)
    assert lived(desk, 1) == [[(0, 0)], [(0, 0)]]
    desk.up = set()
    windows, _ = lived(desk, 181)
    assert windows[0] == (6, 0xC004F074)
    assert windows[1][0] - windows[0][0] == HOURS_2
    assert len(windows) == (181 - 6) * 12 + 1
    client = desk.machine.licences[0].client
    assert client.status is LicenseStatus.OOT_GRACE
    # 182 days since it was licensed: two of the 30 days of grace are over.
    assert client.expires == START + 28 * DAY
    desk.up = {"kms"}
    assert lived(desk, 0.01)[0] == []
    assert lived(desk, 0.1)[0][-1][1] == 0


def test_an_attempt_that_cannot_succeed_is_made_once_only(desk: Desk) -> None:
    desk.slmgr("/act-type", "1")
    desk.ospp("/unpkey:6F7TH")
    windows, office = lived(desk, 10)
    assert windows == [(0, 0xC004F081)]
    assert office == []
    desk.machine.age(30 * DAY)
    lived(desk, 1)
    assert desk.machine.licences[0].client.status is LicenseStatus.NOTIFICATION


def test_ageing_a_machine_ages_its_earlier_events_too(desk: Desk, tmp_path: Path) -> None:
    desk.fill(24)
    desk.slmgr("/ato")
    store = MachineStore(tmp_path / "machines.sqlite")
    desk.machine.new_events += desk.events
    store.add(desk.machine)
    store.age_events("pc1", 2.5 * DAY)
    sent, processed = store.events("PC1")
    store.close()
    assert sent.at == processed.at == START - 2.5 * DAY
    assert sent.fields[4] == processed.fields[7] == "2026/01/02 12:00"
    assert sent.fields[:4] == desk.events[0].fields[:4]
