from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from kmstwist.audit import schema
from kmstwist.audit.asking.facts import write_policy
from kmstwist.audit.central.fingerprint import fingerprint
from kmstwist.audit.central.salt import join
from kmstwist.audit.engine import open_engine, writing
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy, load_salt
from kmstwist.audit.store import insert_batch
from kmstwist.audit.upkeep.verify import TOLD
from kmstwist.cli.audit.audit import audit
from kmstwist.cli.main import kmstwist
from tests.audit.making import DAY, known, new_store, opaque

NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def run(store: Engine, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(audit, [command, "--store", str(store.url.database), *arguments])


def test_vacuum_deletes_what_is_older(store: Engine) -> None:
    insert_batch(store, [opaque(NOW_MS - 50 * DAY), opaque(NOW_MS - DAY)])
    result = run(store, "vacuum", "--older-than", "30d", "--full")
    # The record and its hour; the machine has called since.
    assert result.output == "2 rows deleted\n"


def test_vacuum_without_limits_deletes_nothing(store: Engine) -> None:
    insert_batch(store, [opaque(NOW_MS - 5000 * DAY)])
    assert run(store, "vacuum").output == "0 rows deleted\n"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--older-than", "a year", "write it as 90m"), ("--max-size", "big", "write it as 500M")],
)
def test_impossible_limits_are_refused(store: Engine, option: str, value: str, said: str) -> None:
    result = run(store, "vacuum", option, value)
    assert result.exit_code == 2
    assert said in result.output


def test_backup_and_verify(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(NOW_MS, "pc1")])
    copy = tmp_path / "copy.sqlite"
    assert run(store, "backup", str(copy)).exit_code == 0
    result = CliRunner().invoke(audit, ["verify", "--store", str(copy)])
    assert result.output == "the audit store is sound\n"
    again = run(store, "backup", str(copy))
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_a_backup_that_cannot_be_written_is_one_sentence(store: Engine, tmp_path: Path) -> None:
    result = run(store, "backup", str(tmp_path / "missing" / "copy.sqlite"))
    assert result.exit_code == 1
    assert "copy.sqlite cannot be made: No such file or directory" in result.output


def test_a_store_of_a_later_version_is_not_to_be_brought_up_to_date(store: Engine) -> None:
    with writing(store) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    result = run(store, "verify")
    assert result.exit_code == 1
    assert "of a later kmstwist" in result.output


def test_commands_that_only_read_change_nothing(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(NOW_MS, "pc1")])
    store.dispose()
    with sqlite3.connect(tmp_path / "audit.sqlite") as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    before = (tmp_path / "audit.sqlite").read_bytes()
    assert run(store, "verify").exit_code == 0
    assert run(store, "backup", str(tmp_path / "copy.sqlite")).exit_code == 0
    assert (tmp_path / "audit.sqlite").read_bytes() == before


def test_a_damaged_store_is_named_with_the_cure(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(NOW_MS, f"pc{number}") for number in range(1000)])
    store.dispose()
    with (tmp_path / "audit.sqlite").open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 200_000)
    result = run(store, "verify")
    assert result.exit_code == 1
    assert "restore it from a backup" in result.output


def test_verify_names_the_faults_and_fails(store: Engine) -> None:
    insert_batch(store, [opaque(NOW_MS - 2 * DAY), opaque(NOW_MS)])
    with writing(store) as connection:
        connection.execute(schema.hourly_activity.update().values(calls=5))
    result = run(store, "verify")
    assert result.exit_code == 1
    assert "has 1 record and a sum of 5 calls" in result.output


@pytest.mark.parametrize(
    ("wrong", "said"), [(TOLD, f"has {TOLD} faults;"), (TOLD + 1, f"has more than {TOLD} faults;")]
)
def test_verify_does_not_count_faults_that_it_did_not_look_for(store: Engine, wrong: int, said: str) -> None:
    insert_batch(store, [opaque(NOW_MS - 2 * DAY), *(known(NOW_MS, f"pc{number}") for number in range(wrong))])
    with writing(store) as connection:
        connection.execute(schema.machine_cmids.update().values(calls=5))
    result = run(store, "verify")
    assert said in result.output
    assert result.output.count("machine_cmids: the row of") == TOLD
    found = json.loads(run(store, "verify", "--json").stdout)
    assert (len(found["faults"]), found["more"]) == (TOLD, wrong > TOLD)


@pytest.mark.parametrize(("number", "end"), [(10, "10.0.0.9: calls"), (11, "10.0.0.8 and others: calls")])
def test_forget_says_if_it_lists_not_all_addresses(store: Engine, number: int, end: str) -> None:
    addresses = [f"10.0.0.{at}" for at in range(number)]
    insert_batch(store, [known(NOW_MS + at, "pc1", each) for at, each in enumerate(addresses)])
    insert_batch(store, [opaque(NOW_MS, each) for each in addresses])
    assert end in run(store, "forget", "pc1", "--yes").output


def test_what_is_no_file_is_no_store(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (["verify"], ["vacuum"], ["forget", "pc1", "--yes"]):
        result = CliRunner().invoke(audit, [*words, "--store", str(pipe)])
        assert result.output == f"Error: {pipe} is no file; name the audit store's file, such as audit.sqlite\n"


def test_a_store_that_cannot_be_made_is_named_once(tmp_path: Path) -> None:
    missing = Path("/proc/audit.sqlite")
    (tmp_path / "names.txt").write_text("x")
    result = CliRunner().invoke(kmstwist, ["products", "import", str(tmp_path / "names.txt"), "--store", str(missing)])
    assert result.output.startswith(f"Error: the audit store {missing} cannot be opened: ")


def test_forget_asks_first_and_removes_one_machine(store: Engine) -> None:
    insert_batch(store, [known(NOW_MS, "pc1"), known(NOW_MS, "pc2")])
    assert run(store, "forget", "pc1").exit_code == 1
    assert "removed 1 record," in run(store, "forget", "pc1", "--yes").output
    again = run(store, "forget", "pc1", "--yes")
    assert again.exit_code == 1
    assert "the audit knows nothing of pc1" in again.output


def test_forget_says_what_it_left_and_why(store: Engine) -> None:
    insert_batch(store, [known(NOW_MS, "pc1", "10.0.0.1"), opaque(NOW_MS, "10.0.0.1")])
    assert "10.0.0.1 is the address" not in run(store, "forget", "pc9", "--yes").output
    assert "it called from 10.0.0.1: calls from there that name no machine are kept" in (
        run(store, "forget", "pc1", "--yes").output
    )
    insert_batch(store, [known(NOW_MS, "pc2", "10.0.0.2")])
    result = run(store, "forget", "10.0.0.2", "--yes")
    assert result.exit_code == 1
    assert "it is the address of pc2, which can be forgotten by name" in result.output


def test_forget_finds_a_machine_that_was_stored_hashed(store: Engine, tmp_path: Path) -> None:
    policy, salt = PrivacyPolicy(machine=Keep.HASH), tmp_path / "audit.salt"
    write_policy(store, policy, salt)
    insert_batch(store, [Privacy(policy, load_salt(salt)).apply(known(NOW_MS, "pc1"))])
    assert "removed 1 record," in run(store, "forget", "PC1", "--yes").output


def test_forget_says_so_when_the_salt_is_missing(store: Engine, tmp_path: Path) -> None:
    write_policy(store, PrivacyPolicy(machine=Keep.HASH), tmp_path / "gone.salt")
    result = run(store, "forget", "pc1", "--yes")
    assert result.exit_code == 1
    assert "restore that file" in result.output


def test_a_files_name_is_shown_and_not_obeyed_by_a_terminal(store: Engine, tmp_path: Path) -> None:
    missing = CliRunner().invoke(kmstwist, ["audit", "verify", "--store", str(tmp_path / "a\x1b[31mb")])
    assert missing.exit_code == 1
    assert "\x1b" not in missing.output
    assert "a\\x1b[31mb" in missing.output
    copied = run(store, "backup", str(tmp_path / "c\x1b[2Jd"))
    assert copied.exit_code == 0
    assert "\x1b" not in copied.output
    assert "c\\x1b[2Jd" in copied.output


def test_vacuum_says_if_a_size_cannot_be_reached(store: Engine) -> None:
    insert_batch(store, [opaque(NOW_MS - at) for at in range(20)])
    result = run(store, "vacuum", "--max-size", "1")
    assert result.exit_code == 0
    assert "the newest 1000 records and their sums are kept" in result.output
    assert result.output.startswith("0 rows deleted\n")


@pytest.mark.parametrize(
    "url", ["mysql://u:s3cret@h/db", "postgresql://u:p@s3cret@h/db", "postgresql://u:s3cret@h:port/db", "x://:s3cret@h"]
)
def test_no_command_prints_the_password_of_a_store(url: str) -> None:
    for command in (["report", "activity"], ["audit", "verify"], ["audit", "forget", "pc1", "--yes"]):
        result = CliRunner().invoke(kmstwist, [*command, "--store", url])
        assert result.exit_code == 1
        assert "s3cret" not in result.output


def test_the_salt_is_carried_from_one_gateway_to_another(tmp_path: Path) -> None:
    def salt(*arguments: str) -> Result:
        return CliRunner().invoke(kmstwist, ["audit", "salt", *arguments])

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        new_store(tmp_path / name).dispose()
    one, two = (str(tmp_path / name / "audit.sqlite") for name in ("one", "two"))
    assert "nothing is hashed here yet" in salt("export", "--store", one, str(tmp_path / "salt")).output
    load_salt(tmp_path / "one" / "audit.salt")
    load_salt(tmp_path / "two" / "audit.salt")
    former = load_salt(tmp_path / "two" / "audit.salt")
    # It was started once, as a gateway is that was refused then, and has stored nothing.
    engine = open_engine(two)
    join(engine, former, "its own store")
    engine.dispose()
    assert salt("export", "--store", one, str(tmp_path / "salt")).exit_code == 0
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600
    assert "exists already" in salt("export", "--store", one, str(tmp_path / "salt")).output
    with (tmp_path / "two" / "gateway.lock").open("w") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        result = salt("import", "--store", two, str(tmp_path / "salt"))
        assert (result.exit_code, "a gateway is running with " in result.output) == (1, True)
    result = salt("import", "--store", two, str(tmp_path / "salt"))
    assert result.exit_code == 0, result.output
    assert load_salt(tmp_path / "two" / "audit.salt") == load_salt(tmp_path / "one" / "audit.salt")
    # What the former salt hashed can still be looked for with it.
    (kept,) = (tmp_path / "two").glob("audit.salt.*")
    assert load_salt(kept) == former
    assert salt("show", "--store", two).output.split()[-1] == fingerprint(load_salt(tmp_path / "one" / "audit.salt"))
    assert salt("show", "--store", one).output.splitlines()[-1] == "the store: nothing is hashed in it yet"


def test_a_salt_is_not_imported_over_the_one_that_the_store_is_hashed_with(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(DAY)])
    join(store, load_salt(tmp_path / "audit.salt"), "the store")
    other = tmp_path / "other"
    other.write_text(f"kmstwist audit salt {'22' * 32}\n")
    other.chmod(0o600)
    result = CliRunner().invoke(kmstwist, ["audit", "salt", "import", "--store", str(store.url.database), str(other)])
    assert result.exit_code == 1
    assert "move the store away" in result.output
    other.write_text("something else")
    result = CliRunner().invoke(kmstwist, ["audit", "salt", "import", "--store", str(store.url.database), str(other)])
    assert "holds no exported salt" in result.output


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ("UPDATE records SET record_id = 'x'", ["forget", "pc1", "--yes"], "values that no record can have"),
        ("INSERT INTO facts VALUES ('forgotten', '[1]')", ["forget", "pc1", "--yes"], "notes as 'forgotten'"),
        ("INSERT INTO facts VALUES ('privacy', '{}')", ["forget", "pc1", "--yes"], "notes as 'privacy'"),
        ("INSERT INTO facts VALUES ('records deleted until', 'x')", ["vacuum", "--older-than", "1d"], "deleted until'"),
    ],
)
def test_a_damaged_store_is_told_of_and_left_as_it_is(
    store: Engine, change: str, arguments: list[str], said: str
) -> None:
    insert_batch(store, [known(NOW_MS - 50 * DAY, "pc1")])
    with writing(store) as connection:
        connection.exec_driver_sql(change)
    result = run(store, *arguments)
    assert result.exit_code == 1
    assert said in result.output
    with writing(store) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar() == 1


def test_a_file_system_that_is_mounted_read_only_is_named(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs(str(store.url.database))
    mounted = os.statvfs_result([*found[:8], found.f_flag | os.ST_RDONLY, *found[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _: mounted)
    result = run(store, "vacuum")
    assert result.exit_code == 1
    assert "is mounted read-only; mount it for writing" in result.output
