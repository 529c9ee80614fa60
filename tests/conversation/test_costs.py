"""How many Python functions a conversation calls: the same number on every machine, so that a regression shows.

A change that makes a conversation dearer fails here; if there is a good reason, raise the number. If it makes it
cheaper, lower the number. `benchmarks/notes.md` has the cost in microseconds.
"""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.call_path import AT_ONCE, Gateway
from benchmarks.harness import calls
from benchmarks.rpc_conversations import both_ends, conversation
from tests.waiting import PATIENCE


@pytest.mark.parametrize(("audit", "most"), [(False, 156), (True, 184)], ids=["no audit", "audit"])
def test_a_conversation_through_a_gateway_makes_a_fixed_number_of_calls(tmp_path: Path, audit: bool, most: int) -> None:
    gateway = Gateway(tmp_path, audit=audit)
    # The first clients fill what is looked up or made only once.
    gateway.converse()
    counted = calls(gateway.converse) / AT_ONCE
    assert most * 0.8 < counted <= most
    assert gateway.lines == 2 * AT_ONCE


def test_a_conversation_leaves_nothing_for_the_garbage_collector(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, audit=True)
    gateway.converse()
    gc.collect()
    gc.disable()
    try:
        gateway.converse()
        assert gc.collect() < AT_ONCE, "each conversation leaves a cycle, and clients wait for the collector"
    finally:
        gc.enable()


@pytest.mark.parametrize(("converse", "most"), [(conversation, 26), (both_ends, 39)], ids=["server", "both ends"])
def test_the_associations_alone_make_a_fixed_number_of_calls(converse: Callable[[], bytes], most: int) -> None:
    converse()
    counted = calls(converse)
    assert most * 0.8 < counted <= most


@pytest.mark.parametrize(
    ("options", "most_files", "most_moves"), [(["--no-audit"], 16, 45), ([], 20, 54)], ids=["no audit", "audit"]
)
def test_a_call_passes_few_files(options: list[str], most_files: int, most_moves: int) -> None:
    # In a separate process, which runs a reactor and profiles all of its threads.
    command = [sys.executable, "-m", "benchmarks.path_of_a_call", *options]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    found = re.match(r"(\d+) files .* (\d+) moves", said)
    assert found is not None, said
    files, moves = map(int, found.groups())
    assert most_files * 0.8 < files <= most_files
    assert most_moves * 0.8 < moves <= most_moves
