"""Importing a KMS host's events: every format, again, in private, and from a folder that is watched."""

from __future__ import annotations

from datetime import timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmstwist.audit.events.watch_folder import Watcher
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from tests.audit.exports import as_csv, as_evtx, as_xml, request
from tests.audit.importing import AT, FORMATS, SAMPLES, bring_in, rows
from tests.audit.making import START, uuid


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_gives_the_same_events(store: Engine, tmp_path: Path, name: str) -> None:
    result = bring_in(store, tmp_path / name, FORMATS[name](SAMPLES))
    assert (result.imported, result.known, result.other, result.broken) == (6, 0, 1, 0)
    first, second, published, failed, sent, processed = rows(store, "events")
    assert (first["machine"], first["cmid"]) == ("pc1.example.com", uuid("pc1.example.com"))
    assert (first["hresult"], first["required_count"], first["license_status"]) == (0, 25, 1)
    assert (first["minutes_left"], first["virtual_machine"], first["computer"]) == (250000, 0, "KMS1.example.com")
    assert (first["at"] // 1000, first["event_record_id"]) == (START // 1000 + 1, 1)
    assert (second["hresult"], second["virtual_machine"]) == (0xC004F06C, 1)
    assert (published["target"], failed["target"], failed["hresult"]) == ("example.com", "example.com", 0x8007232B)
    assert (sent["target"], sent["machine"], sent["required_count"]) == ("kms1:1688", "pc9", 25)
    assert (processed["count"], processed["machine"]) == (50, "pc9")


def test_importing_again_in_whatever_format_changes_nothing(store: Engine, tmp_path: Path) -> None:
    bring_in(store, tmp_path / "first.evtx", as_evtx(SAMPLES))
    before = rows(store, "events")
    for name, write in FORMATS.items():
        result = bring_in(store, tmp_path / name, write(SAMPLES))
        assert (result.imported, result.known) == (0, 6)
    assert rows(store, "events") == before


def test_a_cleared_log_that_counts_from_one_again_is_new(store: Engine, tmp_path: Path) -> None:
    bring_in(store, tmp_path / "a.xml", as_xml([request(1, AT, "pc1.example.com")]))
    result = bring_in(store, tmp_path / "b.xml", as_xml([request(1, AT + timedelta(days=9), "pc1.example.com")]))
    assert result.imported == 1


def test_times_in_csv_are_in_the_zone_given(store: Engine, tmp_path: Path) -> None:
    berlin = timezone(timedelta(hours=2))
    bring_in(store, tmp_path / "a.csv", as_csv([request(1, AT, "pc1.example.com")]), zone=berlin)
    assert rows(store, "events")[0]["at"] == START - 2 * 3_600_000


@pytest.mark.parametrize(
    ("manner", "hours"), [("%Y-%m-%dT%H:%M:%S", -2), ("%Y-%m-%dT%H:%M:%SZ", 0), ("%Y-%m-%dT%H:%M:%S.000+05:00", -5)]
)
def test_a_time_in_csv_is_in_the_zone_given_unless_it_names_its_own(
    store: Engine, tmp_path: Path, manner: str, hours: int
) -> None:
    berlin = timezone(timedelta(hours=2))
    bring_in(store, tmp_path / "a.csv", as_csv([request(1, AT, "pc1.example.com")], manner), zone=berlin)
    assert rows(store, "events")[0]["at"] == START + hours * 3_600_000


def test_a_clients_own_events_are_as_private_as_its_name(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.HASH), bytes(32))
    bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[4:6]), privacy)
    assert "pc9" not in repr(rows(store, "events"))


def test_the_watcher_takes_files_that_have_settled_and_once_only(tmp_path: Path) -> None:
    taken: list[str] = []
    watcher = Watcher(tmp_path, lambda path: taken.append(path.name))
    (tmp_path / "a.xml").write_text("x")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "b.evtx").write_text("x")
    # As Winlogbeat's output to files names them.
    (tmp_path / "c-20261120.ndjson").write_text("x")
    watcher.scan()
    assert taken == []
    (tmp_path / "b.evtx").write_text("still growing")
    watcher.scan()
    assert taken == ["a.xml", "c-20261120.ndjson"]
    watcher.scan()
    watcher.scan()
    assert taken == ["a.xml", "c-20261120.ndjson", "b.evtx"]
    (tmp_path / "a.xml").write_text("exported again")
    watcher.scan()
    watcher.scan()
    assert taken == ["a.xml", "c-20261120.ndjson", "b.evtx", "a.xml"]


def test_a_file_whose_import_failed_is_tried_again(tmp_path: Path) -> None:
    tries: list[str] = []

    def take(path: Path) -> None:
        tries.append(path.name)
        if len(tries) == 1:
            raise OSError("the store is busy")

    watcher = Watcher(tmp_path, take)
    (tmp_path / "a.xml").write_text("x")
    watcher.scan()
    with pytest.raises(OSError, match="busy"):
        watcher.scan()
    watcher.scan()
    watcher.scan()
    assert tries == ["a.xml", "a.xml"]
