"""Strangers that the watch found are remembered and reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from kmstwist.audit.engine import reading
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Query, Urgency, moment
from kmstwist.audit.strangers import remember
from kmstwist.discovery.strangers import Stranger


def stranger(host: str, port: int = 1688, **changes: Any) -> Stranger:
    return Stranger(**{"domain": "corp.test", "host": host, "port": port, "priority": 0, "weight": 5, **changes})


def rows(store: Engine) -> list[Any]:
    with reading(store) as connection:
        return list(REPORTS["strangers"].ask(connection, Query(now=datetime(2024, 6, 1, tzinfo=UTC))).rows)


def test_each_stranger_is_reported_from_when_it_came_to_when_it_went(store: Engine) -> None:
    remember(store, "gw1", "corp.test", [stranger("a.test"), stranger("b.test", addresses=("192.0.2.1", "::1"))], 1000)
    remember(store, "gw1", "corp.test", [stranger("b.test", weight=9), stranger("b.test", 1700)], 5000)

    there = [(row.host, row.port, row.weight, row.first_seen, row.last_seen, row.gone) for row in rows(store)]

    assert there == [
        ("b.test", 1688, 9, moment(1000), moment(5000), None),
        ("b.test", 1700, 5, moment(5000), moment(5000), None),
        ("a.test", 1688, 5, moment(1000), moment(1000), moment(5000)),
    ]
    assert [row.urgency for row in rows(store)] == [Urgency.URGENT, Urgency.URGENT, Urgency.NONE]


def test_one_that_comes_back_was_first_seen_when_it_came_first_and_is_gone_once(store: Engine) -> None:
    for at, found in ((1000, ["a.test"]), (2000, []), (3000, []), (4000, ["a.test"])):
        remember(store, "gw1", "corp.test", [stranger(host) for host in found], at)
        if at == 3000:
            assert [row.gone for row in rows(store)] == [moment(2000)]

    assert [(row.first_seen, row.last_seen, row.gone) for row in rows(store)] == [(moment(1000), moment(4000), None)]


def test_domains_and_gateways_are_kept_apart(store: Engine) -> None:
    remember(store, "gw1", "corp.test", [stranger("a.test")], 1000)
    remember(store, "gw1", "lab.test", [], 2000)
    remember(store, "gw2", "corp.test", [], 2000)
    assert [(row.gateway, row.host, row.gone) for row in rows(store)] == [("gw1", "a.test", None)]


def test_of_those_that_have_gone_the_latest_are_kept(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.audit.strangers.GONE", 3)
    remember(store, "gw2", "corp.test", [stranger("other.test")], 0)
    remember(store, "gw2", "corp.test", [], 1)
    for day in range(1, 10):
        remember(store, "gw1", "corp.test", [stranger("always.test"), stranger(f"day{day}.test")], 1000 * day)

    hosts = [row.host for row in rows(store)]
    assert hosts == ["always.test", "day9.test", "day8.test", "day7.test", "day6.test", "other.test"]
