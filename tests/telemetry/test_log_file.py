"""The log file survives rotation and a full disk, and says how many lines were lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmstwist.telemetry.log import LogFile, format_coloured, wants_colour


def test_a_reopened_file_leaves_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(path)
    log.write("one", None)
    path.rename(tmp_path / "log.1")
    log.write("two", None)
    log.reopen()
    log.write("three", None)
    assert (tmp_path / "log.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_file_that_cannot_be_reopened_is_not_given_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(path)
    path.rename(tmp_path / "log.1")
    path.mkdir()
    log.reopen()
    log.write("still here", None)
    assert (tmp_path / "log.1").read_text() == "still here\n"


_FULL = """
import resource, sys
from pathlib import Path
from twisted.logger import globalLogBeginner
from kmstwist.telemetry.lines import FORMATTERS, LineObserver
from kmstwist.telemetry.log import LogFile
file = LogFile(Path(sys.argv[1]))
globalLogBeginner.beginLoggingTo([LineObserver(FORMATTERS["text"], "info", file.write)], redirectStandardIO=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))
for number in range(4):
    file.write(f"line {number} of ten", None)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write("there is room again", None)
"""


def test_a_full_disk_costs_lines_and_their_number_is_logged(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:3] == ["line 0 of ten", "line 1 of t", "there is room again"]
    assert lines[3].split(" ", 1)[1] == 'error log-lost lines=3 detail="File too large"'


@pytest.mark.parametrize("text", ["\udcff", "ü", "a b"])
def test_any_text_can_be_written(tmp_path: Path, text: str) -> None:
    LogFile(tmp_path / "log").write(text, None)
    assert (tmp_path / "log").read_bytes().endswith(b"\n")


def test_a_reopened_file_has_the_mode_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = os.umask(0o027)
    try:
        log = LogFile(path)
        assert path.stat().st_mode & 0o777 == 0o640
        path.rename(tmp_path / "log.1")
        # As twistd sets it when it becomes a daemon.
        os.umask(0o077)
        log.reopen()
        assert path.stat().st_mode & 0o777 == 0o640
        path.unlink()
        path.touch(0o600)
        log.reopen()
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_lines_have_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert format_coloured("2026-11-22T07:56:33.301Z", "warn", "gateway", {"a": "b", "c": "d"}) == (
        "\x1b[2m2026-11-22T07:56:33.301Z\x1b[0m \x1b[33mwarn\x1b[0m \x1b[1mgateway\x1b[0m a=b c=d"
    )
    ours, theirs = os.openpty()
    reading, writing = os.pipe()
    try:
        assert wants_colour(theirs, {"TERM": "xterm"})
        assert not wants_colour(theirs, {"TERM": "xterm", "NO_COLOR": "1"})
        assert not wants_colour(theirs, {"TERM": "dumb"})
        assert not wants_colour(writing, {"TERM": "xterm"})
    finally:
        for descriptor in (ours, theirs, reading, writing):
            os.close(descriptor)
