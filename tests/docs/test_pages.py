"""Every command of every page is typed, in order, and prints what the page shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.page import ROOT, differs, pattern, steps, text_of
from tests.docs.stages import STAGES
from tests.waiting import PATIENCE

PAGES = ("README", *sorted(f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md")))
WITH_COMMANDS = [page for page in PAGES if any(step.kind == "" for step in steps(text_of(page)))]
_OWN = ["unshare", "--mount", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount", "--net"]


def test_every_page_with_commands_has_its_stage() -> None:
    assert set(WITH_COMMANDS) - set(STAGES) == set()
    assert set(STAGES) - set(PAGES) == set()


@pytest.mark.needs("ip", "unshare", "curl")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.needs(*STAGES[page].needs))
        for page in WITH_COMMANDS
        if page in STAGES and STAGES[page].skip is None
    ],
)
def test_typing_a_page_s_commands_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    if subprocess.run([*_OWN, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces of one's own may be made here")
    played = subprocess.run(
        [*_OWN, sys.executable, "-m", "tests.docs.play", page, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=20 * PATIENCE,
    )
    assert (played.returncode, played.stderr) == (0, ""), played.stdout + played.stderr


def test_only_numbers_times_and_ids_are_patterns() -> None:
    assert pattern("2026-11-22T07:56:33.301Z info lab host_id=LAB-DEB2-3322-6346-0BD8 clients=0") == (
        "TIME info lab host_id=LAB-ID clients=N"
    )
    assert differs(["PC1  3 ms", "…", "end 4"], ["PC1 12.5 ms", "any", "", "end 5"]) == ""
    assert differs(["PC1 3 ms"], ["PC1 3 s"]) != ""
    assert differs(["one"], ["one", "two"]) == "the page does not show 'two'"
    assert differs(["one", "two"], ["one"]) != ""
    # Dots stand for as many lines as the ones that follow need.
    assert differs(["PC1 grace", "…", "PC24 grace", "PC25 licensed"], [*["PC1 grace"] * 24, "PC25 licensed"]) == ""
    assert differs(["PC1 grace", "…", "PC24 grace", "PC25 licensed"], ["PC1 grace"] * 25) != ""
    assert differs(["…", "one", "two"], ["one", "two", "three"]) == "the page does not show 'three'"
