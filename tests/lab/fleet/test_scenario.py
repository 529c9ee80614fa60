from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from kmstwist.lab.fleet.record import FleetResult
from kmstwist.lab.fleet.scenario import (
    ScenarioError,
    find_scenario,
    load,
    parse,
)
from kmstwist.lab.fleet.simulation import Fleet
from kmstwist.lab.scenarios import listed, ready_scenarios, ready_text

from .scenarios import OFFICE, SERVER, WINDOWS, document, machines, scenario


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse(document(**changes), "test.toml")
    return list(map(str, caught.value.mistakes))


def test_all_mistakes_are_reported_at_once_each_with_its_place() -> None:
    found = mistakes(
        days=-1,
        typo=1,
        host=[{"name": "kms", "activation_interval": 5, "outages": [{"from_day": 1}]}, {"name": "kms"}],
        site=[{"name": "site", "srv": [{"host": "kmz"}]}],
        machines=machines(site="sight", products=["Windows 12", WINDOWS]),
    )
    text = "\n".join(found)
    for part in (
        "days: must be more than 0, not -1",
        "typo: no such key",
        "[[host]] number 1, activation_interval: must be at least 15, not 5",
        "[[host]] number 1, outages number 1, days: is missing",
        '[[host]] "kms": the name is used 2 times',
        '[[site]] "site", srv: there is no host or gateway "kmz"; did you mean "kms"?',
        '[[machines]] "PC", site: there is no site "sight"; did you mean "site"?',
        '[[machines]] number 1, products number 1: the catalogue has no product "Windows 12"',
    ):
        assert part in text, f"{part!r} is not in:\n{text}"
    assert len(found) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"days": 10, "host": [{"name": "kms", "outages": [{"from_day": 10, "days": 1}]}]}, "not before the end"),
        (
            {"host": [{"name": "kms", "outages": [{"from_day": 1, "days": 5}, {"from_day": 3, "days": 1}]}]},
            "before the one before it ends",
        ),
        ({"gateway": [{"name": "kms", "upstreams": ["kms"]}]}, "a host has this name too"),
        ({"gateway": [{"name": "gw", "upstreams": ["gw"]}]}, 'there is no host "gw"'),
        (
            {"host": [{"name": "kms"}, {"name": "b"}]},
            '[[host]] "b": nothing would ask it; name it in the srv of a site, in the',
        ),
        (
            {"gateway": [{"name": "gw", "upstreams": ["kms"]}]},
            '[[gateway]] "gw": nothing would ask it; name it in the srv of a site or as the host of a group',
        ),
        (
            {
                "site": [
                    {
                        "name": "site",
                        "dns_changes": [{"day": 5, "srv": []}, {"day": 5, "srv": [{"host": "nobody"}]}],
                    }
                ]
            },
            "does not come after day 5",
        ),
        ({"machines": machines(generalise_on_day=3)}, "the group is not cloned"),
        ({"machines": machines(joins={"over_days": 5}, leaves={"from_day": 3})}, "before all have joined"),
        ({"machines": machines(joins={"share": 0.5})}, "lower `count`"),
        ({"machines": machines(products=[WINDOWS, WINDOWS])}, "named twice"),
        ({"machines": machines(products=[WINDOWS, "windows 11  enterprise"])}, f'"{WINDOWS}" is named twice'),
        ({"machines": machines(products=[WINDOWS, SERVER, OFFICE])}, '[[machines]] "PC", products: a machine has one'),
        ({"machines": machines(count=600_000) + machines(name="B", count=600_000)}, "1,200,000 machines"),
        ({"machines": machines(office_hours={"opens": "18:00:00", "closes": "08:00:00"})}, "the hours end at 08:00"),
        (
            {"machines": machines(office_hours={"opens": "08:00+02:00"})},
            "[[machines]] number 1, office_hours, opens: times are UTC, without an offset",
        ),
        (
            {"machines": machines(office_hours={"opens": "08:00Z", "closes": "18:00Z"})},
            "[[machines]] number 1, office_hours, closes: times are UTC, without an offset",
        ),
        ({"machines": machines(office_hours={"opens": 8})}, "office_hours, opens: it is a time of day; write 08:00:00"),
        ({"machines": []}, "at least one entry"),
        ({"machines": "many"}, "machines"),
        ({"host": [{"name": "kms"}, 5]}, "[[host]] number 2: must be a table of keys and values"),
        ({"host": 5}, "[[host]]: must be a table of its own, [[host]]"),
        ({"machines": machines(products=WINDOWS)}, "products: must be a list"),
        ({"name": ""}, "name: must not be empty"),
        ({"name": "x" * 200}, "must have at most 100 characters"),
        ({"site": [{"name": "a|b"}]}, "must match the pattern"),
        ({"start": "2026-01-05"}, "start: it is a date or a date and time; write it without quotation marks"),
        ({"start": 12}, "start: it is a date"),
        ({"start": date(9999, 12, 31)}, "start: the year 9999 is not from 1980 to 2999"),
        ({"start": datetime(1500, 1, 1)}, "start: the year 1500"),
    ],
)
def test_an_impossible_scenario_is_refused(changes: dict[str, Any], words: str) -> None:
    assert any(words in mistake for mistake in mistakes(**changes)), mistakes(**changes)


def test_a_machine_may_have_one_windows_and_several_office_products() -> None:
    [group] = scenario(
        machines=machines(products=["office ltsc professional plus 2021", "Visio LTSC Professional 2021", SERVER])
    ).groups
    assert group.products == (OFFICE, "Visio LTSC Professional 2021", SERVER)
    # The wrong name is reported, and causes no further message.
    assert len(mistakes(machines=machines(products=[WINDOWS, "Windows 12", "Windows 12"]))) == 2


def test_a_host_may_be_known_from_anywhere() -> None:
    known = scenario(
        host=[{"name": name} for name in ("kms", "later", "behind", "by-hand")],
        gateway=[{"name": "gw", "upstreams": ["behind"]}],
        site=[
            {
                "name": "site",
                "srv": [{"host": "kms"}],
                "dns_changes": [{"day": 3, "srv": [{"host": "later"}, {"host": "gw"}]}],
            }
        ],
        machines=machines() + machines(name="B", host="by-hand"),
    )
    assert len(known.hosts) == 4


def test_every_ready_scenario_runs_and_shows_what_it_says() -> None:
    assert set(ready_scenarios()) == {
        "branch-of-24",
        "cloned-image",
        "host-away-3-weeks",
        "host-away-7-months",
        "monday-morning",
        "two-hosts-split-the-count",
    }
    results = {name: Fleet(find_scenario(name).scaled_to(100)).run() for name in ready_scenarios()}
    assert not results["host-away-3-weeks"].losses
    assert len(results["host-away-7-months"].losses) == 100
    assert all(loss.notified_at for loss in results["host-away-7-months"].losses)
    assert 23 <= _days(results["branch-of-24"]) < 24
    assert 32 <= _days(results["cloned-image"]) < 37
    assert 20 <= _days(results["two-hosts-split-the-count"]) < 22
    assert max(results["monday-morning"].requests["kms1"]) >= 50


def test_the_list_of_ready_scenarios_says_what_each_says() -> None:
    assert [each.name for each in listed()] == list(ready_scenarios())
    for each in listed():
        whole = find_scenario(each.name)
        assert (each.machines, each.days, each.description) == (whole.machine_count, whole.days, whole.description)


def _days(result: FleetResult) -> float:
    assert result.all_licensed_at is not None
    return (result.all_licensed_at - result.begins) / 86_400


def test_the_text_of_a_ready_scenario_can_be_edited_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(ready_text("branch-of-24").replace("count = 24", "count = 25"))
    assert load(path).groups[0].count == 25
    with pytest.raises(KeyError):
        ready_text("nothing")


def test_a_file_that_is_not_a_scenario_is_reported_with_the_ready_ones(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no such file.*branch-of-24"):
        find_scenario(str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("days = \n")
    with pytest.raises(ScenarioError, match="is not TOML: Invalid value \\(at line 1"):
        load(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load(broken)


def test_a_scenario_is_cut_in_proportion() -> None:
    groups = machines(count=900) + machines(name="B", count=100)
    cut = scenario(machines=groups).scaled_to(100)
    assert [group.count for group in cut.groups] == [90, 10]
    assert scenario().scaled_to(100) == scenario()


def test_a_start_without_a_time_zone_is_utc() -> None:
    assert scenario(start=datetime(2026, 1, 5)).begins == 1_767_571_200
    assert scenario(start=date(2026, 1, 5)).begins == 1_767_571_200
