"""Every promise in docs/promises.md names the test that holds it, and that test exists."""

from __future__ import annotations

import re

import pytest

from tests.contributing.test_habits import ROOT

PAGE = (ROOT / "docs/promises.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|trials)/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_holds_a_promise_is_there(file: str, test: str) -> None:
    text = (ROOT / file).read_text()
    assert not test or re.search(rf"^(?:async )?def {test}\(", text, re.MULTILINE)


def test_every_promise_names_something() -> None:
    rows = [row for row in re.findall(r"^\| (?!promise|what \||---).*\|$", PAGE, re.MULTILINE) if "as above" not in row]
    assert len(rows) > 25
    assert [row for row in rows if "`tests/" not in row] == []
