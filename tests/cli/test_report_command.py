from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.store import insert_batch
from kmstwist.audit.strangers import remember
from kmstwist.cli.audit.report import report
from kmstwist.discovery.strangers import Stranger
from tests.audit.making import DAY, known, new_store

NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def path(tmp_path: Path) -> str:
    store: Engine = new_store(tmp_path)
    insert_batch(store, [known(NOW_MS - DAY, "pc1", "10.1.0.1"), known(NOW_MS - 160 * DAY, "pc2", "10.2.0.2")])
    remember(store, "gw1", "corp.test", [Stranger("corp.test", "rogue.test", 1688, 0, 0)], NOW_MS)
    store.dispose()
    return str(tmp_path / "audit.sqlite")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(report, arguments)


def test_without_a_name_the_reports_are_listed() -> None:
    result = run()
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(REPORTS)


@pytest.mark.parametrize("name", list(REPORTS))
def test_every_report_can_be_shown(path: str, name: str) -> None:
    result = run(name, "--store", path)
    assert result.exit_code == 0
    assert REPORTS[name].name in ("refused", "failures", "duplicates") or "nothing to report" not in result.output


def test_json_has_the_machines_asked_for(path: str) -> None:
    result = run("clients", "--store", path, "--format", "json", "--since", "7d", "--network", "10.1.0.0/16")
    (row,) = json.loads(result.output)["rows"]
    assert (row["machine"], row["urgency"]) == ("pc1", "good")


def test_the_store_can_be_named_by_the_environment(path: str) -> None:
    result = CliRunner().invoke(report, ["expiring", "--format", "csv"], env={"KMSTWIST_AUDIT_STORE": path})
    assert result.output.splitlines()[1].startswith("pc2,10.2.0.2,Windows,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clines"], "there is no report 'clines'; did you mean clients?"),
        (["count", "--since", "7d"], "the report count does not take --since"),
        (
            ["clients", "--since", "2026-06-02", "--until", "2026-06-01"],
            "--until: it is 2026-06-01 00:00 UTC, which is not",
        ),
        (["clients", "--since", "1d", "--until", "2d"], "which is not after the beginning"),
        (["clients", "--since", "yesterday"], "'yesterday' is not a time"),
        (["clients", "--network", "10.1"], "'10.1' is not a network"),
    ],
)
def test_a_wrong_question_gets_one_clear_sentence(path: str, arguments: list[str], said: str) -> None:
    result = run(*arguments, "--store", path)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_missing_store_is_named_with_the_cure(tmp_path: Path) -> None:
    result = run("clients", "--store", str(tmp_path / "none.sqlite"))
    assert result.exit_code == 1
    assert "there is no audit store at" in result.output
    assert not (tmp_path / "none.sqlite").exists()


def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_text("Dear Sir or Madam, " * 100)
    result = run("clients", "--store", str(path))
    assert result.exit_code == 1
    assert "file is not a database" in result.output


def test_an_empty_database_is_not_a_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    result = run("clients", "--store", str(path))
    assert result.exit_code == 1
    assert "it has none of the audit's tables" in result.output


def test_a_terminal_without_unicode_gets_what_it_can_show(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from kmstwist.cli.main import main; main()", "report", "clients", "--store", path],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"pc1" in done.stdout


def test_the_exit_status_says_whether_the_report_has_rows(path: str) -> None:
    assert run("expiring", "--store", path, "--fail-if-any").exit_code == 1
    assert "pc2" in run("expiring", "--store", path, "--fail-if-any").output
    assert run("expiring", "--store", path, "--fail-if-any", "--days", "1").exit_code == 0
    assert run("expiring", "--store", path).exit_code == 0


def test_a_report_that_fails_has_another_exit_status(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.sqlite")
    result = run("expiring", "--store", missing, "--fail-if-any")
    assert (result.exit_code, "there is no audit store" in result.output) == (2, True)
    assert run("expiring", "--store", missing).exit_code == 1
    assert run("nothing", "--store", missing, "--fail-if-any").exit_code == 2


def test_the_digest_is_one_list(path: str) -> None:
    result = run("digest", "--store", path, "--format", "csv")
    assert [line.split(",")[:2] for line in result.stdout.splitlines()] == [
        ["about", "subject"],
        ["expires", "pc2"],
        ["new", "pc1"],
    ]
