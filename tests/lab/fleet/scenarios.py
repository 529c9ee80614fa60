"""Small scenarios for tests, made of plain values."""

from __future__ import annotations

from typing import Any

from kmstwist.lab.fleet.scenario import Scenario, parse

# 2026-01-05 00:00:00 UTC, a Monday.
BEGINS = 1_767_571_200.0
HOUR = 3600
DAY = 86_400
WINDOWS = "Windows 11 / 10 Enterprise"
SERVER = "Windows Server 2022 Standard"
OFFICE = "Office LTSC Professional Plus 2021"


def document(**changes: Any) -> dict[str, Any]:
    """A scenario's document: one host, one site, 25 machines that join at once; top-level keys may be replaced."""
    plain: dict[str, Any] = {
        "name": "a test",
        "days": 30,
        "host": [{"name": "kms"}],
        "site": [{"name": "site", "srv": [{"host": "kms"}]}],
        "machines": [{"name": "PC", "site": "site", "count": 25, "products": [WINDOWS]}],
    }
    return plain | changes


def scenario(**changes: Any) -> Scenario:
    return parse(document(**changes), "test")


def machines(**changes: Any) -> list[dict[str, Any]]:
    """A single group of machines, changed."""
    return [{"name": "PC", "site": "site", "count": 25, "products": [WINDOWS]} | changes]
