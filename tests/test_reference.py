"""The reference pages say what the program does: they are generated from it, and must be up to date."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from kmstwist.cli.logs.loglines import parse_line
from kmstwist.cli.reference import LOG_EXAMPLE, PAGES
from kmstwist.logevents import CONVERSATION, REGISTRY
from kmstwist.reasons import EXPLANATIONS, Reason
from kmstwist.telemetry.lines import format_text
from tests.system.running import run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `make docs`, from a separate process: here click remembers how a command was first called."""
    folder = tmp_path_factory.mktemp("made") / "docs"
    result = run([sys.executable, "-m", "kmstwist.cli.reference", str(folder)])
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_reference_page_is_up_to_date(name: str, made: Path) -> None:
    page = ROOT / "docs" / name
    assert page.exists(), "run `make docs`"
    assert page.read_text() == (made / name).read_text(), "run `make docs`"


def test_every_reason_code_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(explanation.meaning and explanation.cure for explanation in EXPLANATIONS.values())


def test_every_reason_code_is_given_somewhere() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "kmstwist").rglob("*.py") if path.name != "reasons.py")
    unused = [reason.name for reason in Reason if not re.search(rf"Reason\.{reason.name}\b", source)]
    assert unused == []


def test_every_log_event_is_emitted_with_the_fields_it_documents() -> None:
    """Each `EVENT.emit(…)` in the program names only documented fields, and each event is emitted somewhere.

    `tests/conversation/test_protocol.py` checks the fields of the event that is written by its `frame`.
    """
    from kmstwist import logevents

    by_variable = {name: event for name, event in vars(logevents).items() if isinstance(event, logevents.LogEvent)}
    emitted: set[str] = set()
    for path in (ROOT / "kmstwist").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("emit", "frame")
            ):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in by_variable):
                continue
            event = by_variable[node.func.value.id]
            emitted.add(event.name)
            named = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            named |= {
                key.value
                for keyword in node.keywords
                if keyword.arg is None and isinstance(keyword.value, ast.Dict)
                for key in keyword.value.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
            assert named <= set(event.fields), f"{path.name}: {event.name} is emitted with {named - set(event.fields)}"
    assert emitted == set(REGISTRY)


def test_the_example_of_a_log_line_is_one_that_the_program_could_write() -> None:
    line = parse_line(LOG_EXAMPLE)
    assert line is not None
    fields = {key: float(value) if key.endswith("_ms") else value for key, value in line.fields.items()}
    documented = list(CONVERSATION.fields)
    assert line.event == CONVERSATION.name
    assert sorted(fields, key=documented.index) == list(fields)
    assert format_text(LOG_EXAMPLE.split()[0], CONVERSATION.level, CONVERSATION.name, fields) == LOG_EXAMPLE
