"""The manual pages are up to date, complete, and well-formed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.cli.main import VERBS
from kmstwist.cli.manpages import PAGES
from kmstwist.process.options import Options
from tests.system.running import run

MAN = Path(__file__).parents[2] / "man"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (MAN / name).read_text() == PAGES[name](), "run `make man`"


def test_every_verb_and_every_option_of_the_server_has_its_place() -> None:
    command = (MAN / "kmstwist.1").read_text().replace("\\-", "-")
    assert [verb for verb in VERBS if f".SS kmstwist {verb}" not in command] == []
    server = (MAN / "kmstwist-twistd.8").read_text().replace("\\-", "-")
    hidden = {"--adopt", "--help"}
    options = {f"--{name.rstrip('=')}" for name in Options().longOpt} - hidden
    assert [option for option in sorted(options) if option not in server] == []


@pytest.mark.needs("mandoc")
@pytest.mark.parametrize("name", sorted(PAGES))
def test_mandoc_finds_nothing(name: str) -> None:
    result = run(["mandoc", "-T", "lint", "-W", "warning", str(MAN / name)])
    told = [line for line in result.stdout.splitlines() if "missing date" not in line]
    assert told == []
