"""Standard output that cannot be written is one sentence; an error of anything else stays what it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.system.running import BIN, run

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
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (result.returncode, result.stderr) == (1, SENTENCE)


def test_a_full_disk_elsewhere_is_not_taken_for_the_output() -> None:
    result = run([sys.executable, "-c", OTHER_FILE])
    assert result.returncode == 1
    assert result.stderr.endswith("OSError: [Errno 28] No space left on device\n")


def test_a_reader_that_has_gone_is_no_error() -> None:
    result = run(["/bin/sh", "-c", f"{BIN}/kmstwist lab slmgr --help | true"])
    assert (result.returncode, result.stderr) == (0, "")
