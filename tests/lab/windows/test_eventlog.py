"""The exported logs against the reader of the audit: what the lab writes, it understands, in every form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.model import Event, RawEvent
from kmstwist.audit.events.reading.files import read_events
from kmstwist.lab.client import LabClient
from kmstwist.lab.host import MAX_UNSAVED_EVENTS, LabHost
from kmstwist.lab.store import LabStore
from kmstwist.lab.windows.eventlog import FORMATS, LoggedEvent, exported, of_host, of_machine
from tests.lab.conftest import changes_of
from tests.lab.machines.conftest import START, WINDOWS, Desk, desk, greenwich

__all__ = ["desk", "greenwich"]
LoggingHost = tuple[LabHost, LabStore]
FILES = ["json", "csv", "xml"]


def understood(path: Path, events: list[LoggedEvent], form: str) -> list[Event]:
    """What the audit reads of events that were exported."""
    path.write_bytes(exported(events, form, "en-US").encode())
    found = []
    for raw in read_events(path, zone=UTC, now=int(START) * 1000 + 86_400_000):
        assert isinstance(raw, RawEvent)
        event = understand(raw)
        assert event is not None
        found.append(event)
    return found


@pytest.mark.parametrize("form", FILES)
def test_a_machines_events_are_understood(desk: Desk, tmp_path: Path, form: str) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    sent, processed = understood(tmp_path / "log", of_machine(desk.machine, desk.events), form)
    assert (sent.event_id, sent.computer, sent.record_id, sent.at) == (12288, "PC1.corp.example", 1, START * 1000)
    assert (sent.target, sent.hresult, sent.required_count) == ("kms:1688", 0, 25)
    assert sent.cmid == str(desk.machine.cmid)
    assert (processed.event_id, processed.count, processed.record_id) == (12289, 31, 2)


@pytest.fixture
def host(desk: Desk, tmp_path: Path) -> Iterator[LoggingHost]:
    """A lab host that logs, after a request that it grants and one that it refuses; and what it logged."""
    host = LabHost(desk.key, now=lambda: START, random=bytes, logs=True)
    client = LabClient("SRV1.corp.example", desk.machine.cmid, WINDOWS, installed=START)
    host.decide(client.request(START))
    host.decide(client.request(START, clock_error=5 * 3600))
    store = LabStore(tmp_path / "lab.sqlite")
    store.save(changes_of(host))
    yield host, store
    store.close()


@pytest.mark.parametrize("form", FILES)
def test_the_hosts_events_are_understood(host: LoggingHost, desk: Desk, tmp_path: Path, form: str) -> None:
    granted, refused = understood(tmp_path / "log", of_host(host[1].events()), form)
    assert (granted.event_id, granted.computer, granted.record_id) == (12290, "LAB-KMSHOST", 1)
    assert (granted.hresult, granted.required_count, granted.machine) == (0, 25, "SRV1.corp.example")
    assert (granted.license_status, granted.minutes_left, granted.virtual_machine) == (2, 43_200, False)
    assert granted.cmid == str(desk.machine.cmid)
    assert refused.hresult == 0xC004F06C


def test_the_hosts_event_is_a_line_of_nine_fields_as_windows_writes_it(host: LoggingHost, desk: Desk) -> None:
    event = of_host(host[1].events())[1]
    assert event.log == "Key Management Service"
    assert event.message.split("\n") == [
        "An activation request has been processed.",
        "Info:",
        f"0xC004F06C,25,SRV1.corp.example,{desk.machine.cmid},2026/1/5 5:00,0,2,43200,{event.strings[8]}",
    ]


def test_events_are_handed_out_once_and_taken_back_in_their_order(host: LoggingHost, desk: Desk) -> None:
    lab_host, store = host
    assert lab_host.take_changes() is None
    client = LabClient("A", desk.machine.cmid, WINDOWS, installed=START)
    lab_host.decide(client.request(START))
    changes = changes_of(lab_host)
    client.machine_name = "B"
    lab_host.decide(client.request(START))
    lab_host.return_changes(changes)
    store.save(changes_of(lab_host))
    assert [event.info.split(",")[2] for event in store.events(2)] == ["A", "B"]
    assert [event.record_id for event in store.events()] == [1, 2, 3, 4]


def test_of_a_flood_the_latest_events_are_kept(host: LoggingHost, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lab_host, store = host
    request = LabClient("A", desk.machine.cmid, WINDOWS, installed=START).request(START)
    for _ in range(MAX_UNSAVED_EVENTS + 3):
        lab_host.decide(request)
    changes = changes_of(lab_host)
    assert len(changes.events) == MAX_UNSAVED_EVENTS
    monkeypatch.setattr("kmstwist.lab.store.MAX_EVENTS", 10)
    store.save(changes)
    assert len(store.events()) == 10
    assert store.events()[-1].record_id == MAX_UNSAVED_EVENTS + 2


def test_a_host_of_a_fleet_logs_nothing(desk: Desk) -> None:
    desk.fill(3)
    assert changes_of(desk.host).events == ()


def test_the_text_is_that_of_the_event_viewer_with_the_times_of_a_region(desk: Desk) -> None:
    desk.up = set()
    desk.run("/ato")
    text = exported(of_machine(desk.machine, desk.events), "text", "de-DE")
    assert text.startswith("05.01.2026  Event 12288  (Windows 11 / 10 Enterprise)\nThe client has sent ")
    assert set(FORMATS) == {"text", *FILES}
