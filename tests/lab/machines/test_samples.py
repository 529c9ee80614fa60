"""The lab's output against output that administrators posted, line for line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import find
from kmstwist.lab.machines.machine import MACHINE
from kmstwist.lab.machines.troubles import TROUBLES, afflict
from tests.lab.machines.conftest import Desk

from .conftest import DAY, START

SAMPLES = Path(__file__).parent / "samples"
MINUTE = 60
#: Placeholders for the values that differ between machines.
VALUES = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<GUID>"),
    (re.compile(r"(PRODUCT ID|xtended PID): \S+"), r"\1: <ID>"),
    (re.compile(r"\b\d{63}\b"), "<63 DIGITS>"),
    (re.compile(r"\b\d+/\d+/\d{4}( \d+:\d\d:\d\d [AP]M)?"), "<TIME>"),
    (re.compile(r"service version: [\d.]+"), "service version: <VERSION>"),
    (re.compile(r"rearm count: \d+"), "rearm count: <NUMBER>"),
    (re.compile(r"\d+( minute\(s\)| day\(s\)| days)"), r"<NUMBER>\1"),
    (re.compile(r"10\.0\.0\.\d+"), "<ADDRESS>"),
    (re.compile(r"\bkms(\.corp\.example)?:1688"), "<HOST>"),
)


def shape(lines: list[str]) -> list[str]:
    """Lines with placeholders for the machine's own values."""
    shaped = []
    for line in lines:
        for pattern, stands in VALUES:
            line = pattern.sub(stands, line)
        shaped.append(line)
    return shaped


def sample(name: str) -> list[str]:
    return (SAMPLES / f"{name}.txt").read_text().split("\n")[:-1]


@pytest.fixture
def of(desk: Desk) -> Callable[..., Desk]:
    """Makes the desk's machine one with these products."""

    def make(*products: str) -> Desk:
        desk.machine.licences.clear()
        for name in products:
            desk.machine.install_key(desk.machine.add_product(find(name), START), START)
            desk.fill(30, find(name))
        return desk

    return make


def slmgr(desk: Desk, *words: str) -> list[str]:
    # The script's single Echo adds one more line end.
    return [*desk.run(*words).lines, ""]


def held_against(name: str, ours: list[str]) -> None:
    assert shape(ours) == shape(sample(name))


def test_windows_11_in_notification(of: Callable[..., Desk]) -> None:
    desk = of("Windows 11 / 10 Pro")
    afflict(desk.machine, desk.machine.licences[0], TROUBLES["not-bound"], START)
    desk.now += MINUTE
    held_against("win11-dlv-notification", slmgr(desk, "/dlv"))


def test_server_2012_r2_licensed_by_a_host_of_dns(of: Callable[..., Desk]) -> None:
    desk = of("Windows Server 2012 R2 Standard")
    desk.slmgr("/ato")
    desk.now += 3 * DAY
    held_against("server2012r2-dli-licensed-dns", slmgr(desk, "/dli"))
    # Days are rounded up.
    assert "Volume activation expiration: 254880 minute(s) (177 day(s))" in desk.slmgr("/dli")
    desk.now -= MINUTE
    assert "Volume activation expiration: 254881 minute(s) (178 day(s))" in desk.slmgr("/dli")


def test_server_2019_that_reaches_nobody(of: Callable[..., Desk]) -> None:
    desk = of("Windows Server 2019 Standard")
    desk.up = set()
    held_against("server2019-ato-failed", slmgr(desk, "/ato"))


def test_server_2008_r2_licensed_by_a_host_of_dns(of: Callable[..., Desk]) -> None:
    desk = of("Windows Server 2008 R2 Standard")
    desk.slmgr("/ato")
    desk.now += MINUTE
    held_against("server2008r2-dli-licensed-dns", slmgr(desk, "/dli"))
    # Days are rounded down.
    assert "Volume activation expiration: 259199 minute(s) (179 day(s))" in desk.slmgr("/dli")


def test_windows_7_that_is_not_genuine(of: Callable[..., Desk]) -> None:
    desk = of("Windows 7 Enterprise")
    afflict(desk.machine, desk.machine.licences[0], TROUBLES["not-genuine"], START)
    desk.now += MINUTE
    held_against("win7-dlv-not-genuine", slmgr(desk, "/dlv"))


def test_vista_licensed_by_a_registered_host(of: Callable[..., Desk]) -> None:
    desk = of("Windows Vista Business")
    desk.slmgr("/skms", "kms")
    desk.slmgr("/ato")
    desk.now += MINUTE
    held_against("vista-dlv-licensed-registered", slmgr(desk, "/dlv"))


def test_windows_7_shows_its_end(of: Callable[..., Desk]) -> None:
    desk = of("Windows 7 Enterprise")
    desk.slmgr("/ato")
    desk.now += MINUTE
    held_against("win7-xpr-licensed", slmgr(desk, "/xpr"))


def test_office_2021_licensed_by_a_host_set_by_hand(of: Callable[..., Desk]) -> None:
    desk = of("Windows 11 / 10 Enterprise", "Visio LTSC Professional 2021")
    desk.machine.scope(MACHINE).host = "kms"
    desk.ospp("/act")
    desk.now += 28 * MINUTE
    held_against("office2021-dstatus-licensed-override", desk.ospp("/dstatus"))


def test_office_2016_licensed_by_a_host_of_dns(of: Callable[..., Desk]) -> None:
    desk = of("Windows 11 / 10 Enterprise", "Office Professional Plus 2016")
    desk.found = [HostPort("kms", 1688)]
    desk.ospp("/act")
    held_against("office2016-dstatus-licensed-dns", desk.ospp("/dstatus"))


def test_office_2019_activates_two_products(of: Callable[..., Desk]) -> None:
    desk = of("Office Professional Plus 2019", "Visio Professional 2019")
    held_against("office2019-act-two-products", desk.ospp("/act"))


def test_office_2016_that_reaches_nobody(of: Callable[..., Desk]) -> None:
    desk = of("Office Professional Plus 2016")
    desk.up = set()
    held_against("office2016-act-no-host", desk.ospp("/act"))


def test_office_2019_in_grace(of: Callable[..., Desk]) -> None:
    held_against("office2019-dstatus-grace", of("Office Professional Plus 2019").ospp("/dstatus"))


def test_the_usage_begins_as_windows_prints_it(desk: Desk) -> None:
    wanted = sample("slmgr-usage")
    assert desk.run("/?").lines[: len(wanted)] == wanted
