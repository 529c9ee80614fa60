from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.hostnames import addresses_of
from kmstwist.audit.events.reading.zone import SystemZone
from kmstwist.audit.store import insert_batch
from kmstwist.cli.audit.events import events
from kmstwist.cli.audit.report import report
from tests.audit.exports import as_csv, as_evtx, as_xml, request
from tests.audit.making import START, new_store, opaque

AT = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def run(store: Engine, *arguments: str) -> Result:
    return CliRunner().invoke(events, ["import", "--store", str(store.url.database), "--no-dns", *arguments])


def test_import_says_what_came_of_each_file(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START)])
    first, second = tmp_path / "a.xml", tmp_path / "b.evtx"
    first.write_bytes(as_xml([request(1, AT, "pc1")]))
    second.write_bytes(as_evtx([request(1, AT, "pc1")]))
    result = run(store, str(first), str(second))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{first}: 1 new, 0 already known, 0 of other kinds, 0 broken; 1 of 1 requests joined to their record",
        f"{second}: 0 new, 1 already known, 0 of other kinds, 0 broken; 0 of 0 requests joined to their record",
    ]


def test_broken_events_are_shown_with_their_place_and_the_command_fails(store: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(as_xml([request(1, AT, "pc1"), request(2, AT, "pc2", hresult="ok")]))
    result = run(store, str(path))
    assert result.exit_code == 2
    assert "1 new, 0 already known, 0 of other kinds, 1 broken" in result.stdout
    assert "  line 2: string 1 of event 12290 is not a status code: 'ok'" in result.stdout


def test_files_that_cannot_be_read_do_not_keep_the_others_out(store: Engine, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.xml", tmp_path / "photo.jpg"
    good.write_bytes(as_xml([request(1, AT, "pc1")]))
    bad.write_bytes(b"\xff\xd8\xff\xe0")
    result = run(store, str(bad), str(tmp_path / "missing.evtx"), str(good))
    assert result.exit_code == 1
    assert f"{bad}: no events that can be read" in result.stderr
    assert "missing.evtx: there is no such file; check how its name is spelt" in result.stderr
    assert "a.xml: 1 new" in result.stdout
    assert "2 of 3 files could not be read" in result.stderr


def test_no_store_is_made_for_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    store = tmp_path / "audit.sqlite"
    files = [str(tmp_path / name) for name in ("empty", "missing", ".")]
    result = CliRunner().invoke(events, ["import", "--store", str(store), *files])
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert ("an empty file" in told[0], "no such file" in told[1], "is a folder" in told[2]) == (True, True, True)
    assert told[3] == "Error: 3 of 3 files could not be read"
    assert not store.exists()


def test_the_zone_of_csv_times_can_be_named_and_must_exist(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START)])
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([request(1, AT.replace(hour=2), "pc1")]))
    assert "1 of 1 requests joined" in run(store, "--timezone", "Europe/Berlin", str(path)).stdout
    wrong = run(store, "--timezone", "Mars/Olympus", str(path))
    assert wrong.exit_code == 2
    assert "write it as Europe/Berlin or UTC" in wrong.stderr


def test_a_name_dns_does_not_know_has_no_address() -> None:
    assert addresses_of("localhost")
    assert addresses_of("no-such-machine.invalid") == ()
    assert addresses_of("x" * 300) == ()


@pytest.mark.parametrize("options", [[], ["--timezone", "Europe/Berlin"]])
def test_times_in_csv_have_the_offset_of_their_own_day(store: Engine, tmp_path: Path, options: list[str]) -> None:
    winter, summer = (datetime(2024, month, 15, 12, tzinfo=UTC) for month in (1, 7))
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([request(1, winter, "pc1"), request(2, summer, "pc1")], "%d.%m.%Y %H:%M:%S"))
    command = [sys.executable, "-c", "from kmstwist.cli.audit.events import events; events()", "import", "--no-dns"]
    # Without the option the zone is the one that the system is set to.
    zone = "America/New_York" if options else "Europe/Berlin"
    subprocess.run(
        [*command, "--store", str(store.url.database), *options, str(path)],
        env=os.environ | {"TZ": zone},
        check=True,
        capture_output=True,
    )
    with reading(store) as connection:
        found = connection.scalars(select(schema.events.c.at).order_by(schema.events.c.at)).all()
    hours = [timedelta(hours=1), timedelta(hours=2)]
    assert found == [(when - ahead).timestamp() * 1000 for when, ahead in zip((winter, summer), hours, strict=True)]


def test_the_systems_zone_answers_for_every_year() -> None:
    zone = SystemZone()
    for when in (datetime.min, datetime(2024, 7, 1), datetime.max):
        assert abs(when.replace(tzinfo=zone).utcoffset() or timedelta()) < timedelta(days=1)


def test_watch_imports_a_file_that_appears(store: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    (folder / "a.evtx").write_bytes(as_evtx([request(1, AT, "pc1")]))
    command = [sys.executable, "-c", "from kmstwist.cli.audit.events import events; events()", "watch", "--no-dns"]
    options = ["--every", "0.1", "--store", str(store.url.database), str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "a.evtx: 1 new" in process.stdout.readline()
        (folder / "b.xml").write_bytes(as_xml([request(1, AT, "pc1"), request(2, AT, "pc2")]))
        assert "b.xml: 1 new, 1 already known" in process.stdout.readline()
        process.terminate()
        assert "Traceback" not in process.communicate()[1]


def test_a_hosts_log_is_all_that_reports_need_and_the_store_is_made_for_it(tmp_path: Path) -> None:
    path, new = tmp_path / "a.xml", tmp_path / "new" / "audit.sqlite"
    path.write_bytes(as_xml([request(1, AT, "pc1.example.com")]))
    options = ["--store", str(new)]
    result = CliRunner().invoke(events, ["import", *options, "--no-dns", str(path)])
    assert result.exit_code == 0, result.output
    assert "made a new store" in result.stderr
    assert "0 of 1 requests joined to their record, 1 counted from the host's events alone" in result.stdout
    assert new.stat().st_mode & 0o077 == 0
    shown = CliRunner().invoke(report, ["clients", *options])
    assert "pc1.example.com" in shown.stdout
    assert "addresses have no name" not in shown.stderr
    assert "1 product has no name" in shown.stderr
    told = {name: CliRunner().invoke(report, [name, *options]).stderr for name in ("refused", "strangers", "clients")}
    assert {name: "no gateway has written to this store" in said for name, said in told.items()} == {
        "refused": True,
        "strangers": True,
        "clients": False,
    }
    path.write_bytes(as_xml([request(2, AT, "pc2.example.com", "0xC004F042")]))
    assert CliRunner().invoke(events, ["import", *options, "--no-dns", str(path)]).exit_code == 0
    # The one that was never granted anything may lose what it had from elsewhere, at a time that nobody knows.
    expiring = CliRunner().invoke(report, ["expiring", *options]).stdout
    assert "1 machine has a product that was never granted here" in " ".join(expiring.split())
    activity = CliRunner().invoke(report, ["activity", *options, "--by", "upstream", "--format", "csv"]).stdout
    # Nothing is known of times and bytes, which is not none.
    assert activity.splitlines()[1].endswith(",2,1,1,0.5,,,")


def test_a_first_look_at_reports_says_how_to_get_names(store: Engine) -> None:
    insert_batch(store, [opaque(START), opaque(START, "10.0.0.8")])
    options = ["clients", "--store", str(store.url.database)]
    assert "2 addresses have no name" in CliRunner().invoke(report, options).stderr
    assert "kmstwist events import" in CliRunner().invoke(report, options).stderr
    # What a program reads has no such line.
    assert CliRunner().invoke(report, [*options, "--format", "json"]).stderr == ""
