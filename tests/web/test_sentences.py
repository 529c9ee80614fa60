"""What the site says if there is nothing to list, and about the last day of an activation."""

from __future__ import annotations

import urllib.request

import pytest

from kmstwist.web.rendering import days
from tests.waiting import PATIENCE
from tests.web.conftest import Sites

pytestmark = pytest.mark.xdist_group("sites")


def page(sites: Sites, site: str, path: str) -> str:
    with urllib.request.urlopen(sites.urls[site] + path, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


def test_the_last_day_of_an_activation_is_not_shown_as_zero_days() -> None:
    assert [days(left) for left in (0, 1, 2)] == ["less than a day", "1 day", "2 days"]


def test_a_lab_says_that_it_asks_no_hosts(sites: Sites) -> None:
    assert "A lab asks no KMS hosts" in page(sites, "lab", "hosts")
    gateway = page(sites, "busy", "hosts")
    assert "A lab asks no KMS hosts" not in gateway
    assert "Tried in order of priority" in gateway


def test_a_domain_that_dns_has_not_answered_for_is_not_called_unwatched(sites: Sites) -> None:
    assert "No domain has been looked at." in page(sites, "empty", "strangers")
