"""`kmstwist log` reads every form of the log, selects lines, follows the log, and explains it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.cli.logs.log import followed, log
from kmstwist.cli.logs.loglines import parse_line, parse_since
from kmstwist.telemetry.lines import format_json, format_text

LINES = """\
2026-11-22T07:56:35.215Z info conversation client=10.0.0.7 machine="LAB PC" result=activated code=0x00000000 reason=ok
2026-11-22T07:57:35.215Z info conversation client=10.0.0.8 result=refused code=0xC004F042 reason=upstream-status
Traceback (most recent call last):
Nov 22 07:57:40 gw kmstwist[12]: warn upstream-down upstream=kms1:1688 reason=upstream-refused detail="gone \\"now\\""
{"time": "2026-11-22T07:58:35.215Z", "level": "info", "event": "conversation", "client": "fd00::9", "result": "fault", \
"code": "0x000006BA", "reason": "upstream-timeout"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kmstwist.log"
    path.write_text(LINES)
    return path


def shown(file: Path, *options: str) -> list[str]:
    result = CliRunner().invoke(log, [str(file), *options])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_without_conditions_everything_is_shown_as_it_is(file: Path) -> None:
    assert shown(file) == LINES.splitlines()


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--client", "10.0.0.0/24"], [0, 1]),
        (["--client", "10.0.0.7", "--client", "fd00::/8"], [0, 4]),
        (["--reason", "upstream-*"], [1, 3, 4]),
        (["--result", "refused", "--result", "fault"], [1, 4]),
        (["--event", "upstream-down"], [3]),
        (["--machine", "LAB*"], [0]),
        (["--reason", "upstream-*", "--result", "fault"], [4]),
        (["--since", "2026-11-22T07:58"], [3, 4]),
        (["-n", "1"], [4]),
        (["--client", "10.0.0.0/24", "-n", "1"], [1]),
        (["--client", "192.0.2.1"], []),
    ],
)
def test_conditions_pick_lines_out(file: Path, options: list[str], numbers: list[int]) -> None:
    assert shown(file, *options) == [LINES.splitlines()[number] for number in numbers]


@pytest.mark.parametrize(
    ("name", "pattern", "found"),
    [
        ("PC1", "pc1", True),
        ("pc1", "PC*", True),
        ("pc1", "pc", False),
        ("pc[1]", "pc[1]", True),
        ("pc1", "pc[1]", False),
        ("pc1", "pc?", False),
        ("a.b", "a*b", True),
        ("aXb", "a.b", False),
    ],
)
def test_a_machines_name_has_no_case_and_only_the_star_is_special(
    file: Path, name: str, pattern: str, found: bool
) -> None:
    line = f"2026-11-22T07:56:35.215Z info conversation client=10.0.0.7 machine={name} result=activated"
    file.write_text(line + "\n")
    assert shown(file, "--machine", pattern) == ([line] if found else [])


def test_a_reason_and_an_event_are_not_shell_patterns(file: Path) -> None:
    assert shown(file, "--reason", "upstream-[rt]*") == []
    assert shown(file, "--event", "upstream-dow?") == []


@pytest.mark.parametrize(
    "line",
    [
        '{"time": 5, "level": 3, "event": 7}',
        '{"time": null}',
        '{"time": "2026-11-22T07:58:35Z", "level": 3, "event": "conversation"}',
        '{"time": "2026-11-22T07:58:35Z", "level": "info", "event": ["conversation"]}',
        '{"time": ' + "[" * 100_000,
    ],
    ids=lambda line: line[:60],
)
def test_another_programs_json_is_shown_as_it_is_and_fulfils_no_condition(file: Path, line: str) -> None:
    assert parse_line(line) is None
    file.write_text(line + "\n" + LINES)
    assert shown(file) == [line, *LINES.splitlines()]
    assert shown(file, "--event", "upstream-down") == [LINES.splitlines()[3]]


def test_codes_are_explained_once_each_with_the_cure(file: Path) -> None:
    file.write_text(LINES + LINES)
    lines = shown(file, "--explain")
    told = [line for line in lines if line.startswith("    ")]
    assert [line.split()[0] for line in told] == [
        "upstream-status:",
        "0xC004F042",
        "upstream-refused:",
        "upstream-timeout:",
        "0x000006BA",
    ]
    assert all("What to do: " in line for line in told)


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    missing = CliRunner().invoke(log, [str(tmp_path / "none")])
    assert (missing.exit_code, missing.output) == (
        1,
        f"Error: there is no log {tmp_path}/none; check how its name is spelt\n",
    )
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\0\x10JFIF\0")
    assert "photo.jpg is not a log: it is not text" in CliRunner().invoke(log, [str(tmp_path / "photo.jpg")]).output
    assert "is a folder; name the log in it" in CliRunner().invoke(log, [str(tmp_path)]).output
    assert "is not a time; write 10m, 2h" in CliRunner().invoke(log, ["--since", "x", "-"]).output
    assert "'999999d' is too long ago" in CliRunner().invoke(log, ["--since", "999999d", "-"]).output
    assert "write for example 10.0.0.0/8" in CliRunner().invoke(log, ["--client", "x", "-"]).output


def test_without_a_name_it_is_the_file_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, by_rsyslog = tmp_path / "own.log", tmp_path / "rsyslog.log"
    monkeypatch.setattr("kmstwist.cli.logs.log.DEFAULT_FILES", (own, by_rsyslog))
    by_rsyslog.write_text("by rsyslog\n")
    assert CliRunner().invoke(log).output == "by rsyslog\n"
    own.write_text("our own\n")
    os.utime(by_rsyslog, (1, 1))
    assert CliRunner().invoke(log).output == "our own\n"


def test_following_goes_on_in_the_new_file_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\n")

    def steps() -> Iterator[None]:
        with path.open("a") as stream:
            stream.write("two, in tw")
            stream.flush()
            yield
            stream.write("o\n")
            stream.flush()
            yield
            stream.write("last of the old\n")
        path.rename(tmp_path / "log.1")
        path.write_text("first of the new\n")
        yield
        raise KeyboardInterrupt

    happening = iter(steps())
    found: list[str] = []
    with path.open() as stream, pytest.raises(KeyboardInterrupt):
        found.extend(followed(path, stream, lambda: next(happening)))
    assert found == ["one\n", "two, in two\n", "last of the old\n", "first of the new\n"]


FIELDS = st.dictionaries(st.sampled_from(["client", "machine", "detail", "reason"]), st.text(min_size=1, max_size=30))


@given(FIELDS)
def test_what_is_written_is_read_back(fields: dict[str, str]) -> None:
    when = "2026-11-22T07:56:35.215Z"
    for text in (
        format_text(when, "warn", "upstream-down", fields),
        format_json(when, "warn", "upstream-down", fields),
    ):
        line = parse_line(text)
        assert line is not None
        assert (line.level, line.event, dict(line.fields)) == ("warn", "upstream-down", fields)
        assert line.when == datetime(2026, 11, 22, 7, 56, 35, 215000, UTC)


@given(st.text(max_size=200))
def test_no_text_is_too_odd_to_read(text: str) -> None:
    parse_line(text)


def test_since_is_a_while_ago_or_a_moment() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert parse_since("90m", now) == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    assert parse_since("2d", now) == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert parse_since("2026-11-21", now) == datetime(2026, 11, 21, tzinfo=UTC)


def test_standard_input_is_read_too() -> None:
    result = CliRunner().invoke(log, ["-", "--result", "fault"], input=io.StringIO(LINES).read())
    assert result.output.count("\n") == 1


def test_bytes_that_are_not_text_are_replaced_on_standard_input_as_in_a_file(file: Path) -> None:
    line = b"2026-11-22T07:56:35.215Z info conversation client=10.0.0.7 machine=caf\xe9 result=activated\n"
    file.write_bytes(line)
    call = [sys.executable, "-c", "from kmstwist.cli.logs.log import log; log()"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = [
        subprocess.run([*call, name], input=line, capture_output=True, check=False, env=environment)
        for name in (str(file), "-")
    ]
    assert [(one.returncode, one.stdout) for one in done] == [(0, line.replace(b"\xe9", "\ufffd".encode()))] * 2


#: Stands in for journalctl where no journal runs: what it is asked is kept, and the answer is like the real one's.
JOURNALCTL = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/asked"
case $* in
*--unit=nothing*) echo "-- No entries --"; exit 0 ;;
*--unit=wrong*) echo "Failed to parse" >&2; exit 1 ;;
*--follow*) echo "2026-11-22T08:00:03+0000 gw kmstwist[12]: info conversation client=10.0.0.8 result=none"; exit 0 ;;
esac
echo "-- Boot 6fa1cfa80510422092b894ee710a9e52 --"
echo "2026-11-22T08:00:00+0000 gw systemd[1]: Started kmstwist.service - KMS gateway."
echo "2026-11-22T09:00:01+0100 gw kmstwist[12]: info conversation client=10.0.0.7 result=activated reason=ok"
echo "2026-11-22T08:00:02+0000 gw kmstwist[12]: warn upstream-down upstream=kms1:1688 reason=upstream-refused"
echo "-- cursor: s=abc;i=15d"
"""


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "journalctl"
    program.write_text(JOURNALCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "asked"


def test_a_units_lines_come_from_the_journal_and_go_on_where_they_ended(journal: Path) -> None:
    result = CliRunner().invoke(log, ["--unit", "kmstwist@dmz", "-f"])
    assert result.exit_code == 0, result.output
    assert [line.partition(": ")[2] for line in result.output.splitlines()] == [
        "Started kmstwist.service - KMS gateway.",
        "info conversation client=10.0.0.7 result=activated reason=ok",
        "warn upstream-down upstream=kms1:1688 reason=upstream-refused",
        "info conversation client=10.0.0.8 result=none",
    ]
    past, future = journal.read_text().splitlines()
    assert past == "--unit=kmstwist@dmz --output=short-iso --no-pager --show-cursor"
    assert future == ("--unit=kmstwist@dmz --output=short-iso --no-pager --after-cursor=s=abc;i=15d --follow --no-tail")


def test_the_journals_lines_have_their_times(journal: Path) -> None:
    result = CliRunner().invoke(log, ["--unit", "kmstwist", "--since", "2026-11-22T08:00:02", "--event", "*"])
    assert [line.split()[3] for line in result.output.splitlines()] == ["warn"]
    assert "--since=@1795334402.000000" in journal.read_text()


def test_an_empty_journal_is_an_empty_log(journal: Path) -> None:
    result = CliRunner().invoke(log, ["--unit", "nothing"])
    assert (result.exit_code, result.output) == (0, "")


def test_an_error_of_journalctl_is_one_sentence(journal: Path) -> None:
    result = CliRunner().invoke(log, ["--unit", "wrong"])
    assert result.exit_code == 1
    assert "Error: journalctl ended with status 1: journalctl --unit=wrong" in result.output


def test_a_file_and_a_unit_are_one_too_many(journal: Path, file: Path) -> None:
    result = CliRunner().invoke(log, [str(file), "--unit", "kmstwist"])
    assert result.exit_code == 2
    assert "name either a FILE or a --unit" in result.output
