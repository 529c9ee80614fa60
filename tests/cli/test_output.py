"""Standard output that cannot be written gives one sentence; any other error stays what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from tests.system.running import BIN, run
from tests.waiting import PATIENCE

SENTENCE = "Error: the output cannot be written: No space left on device\n"
#: A program that has written to a full disk itself.
OTHER_FILE = """
from kmstwist.cli import main

def broken(**_):
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")

main.kmstwist = broken
main.main()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["keys"], ["errors", "0xC004F038"], ["probe", "127.0.0.1:1"]])
def test_a_full_disk_below_the_output_is_one_sentence(words: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [str(BIN / "kmstwist"), *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (result.returncode, result.stderr) == (1, SENTENCE)


def test_a_full_disk_elsewhere_is_not_blamed_on_the_output() -> None:
    result = run([sys.executable, "-c", OTHER_FILE])
    assert result.returncode == 1
    assert result.stderr.endswith("OSError: [Errno 28] No space left on device\n")


def test_a_reader_that_has_gone_is_not_an_error() -> None:
    result = run(["/bin/sh", "-c", f"{BIN}/kmstwist lab slmgr --help | true"])
    assert (result.returncode, result.stderr) == (0, "")


def test_an_output_that_was_closed_is_not_an_error() -> None:
    for words in ("keys 2022", "errors 0xC004F038"):
        result = run(["/bin/sh", "-c", f"{BIN}/kmstwist {words} >&-"])
        assert (result.returncode, result.stderr) == (0, "")


def test_a_watch_goes_on_while_its_output_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/events.json").write_text("[]")
    migrate(open_engine(str(tmp_path / "audit.sqlite")))
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [
                BIN / "kmstwist",
                "events",
                "watch",
                tmp_path / "in",
                "--every",
                "0.1",
                "--store",
                tmp_path / "audit.sqlite",
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    try:
        lines = [process.stderr.readline() for _ in range(3)]
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert any("No space left on device; trying again in 0.1 s" in line for line in lines), lines
