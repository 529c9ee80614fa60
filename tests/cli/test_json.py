"""Commands that print facts print them for scripts, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kmstwist.cli.main import kmstwist
from tests.audit.making import new_store


@pytest.mark.parametrize(
    ("words", "field"), [("errors", "cure"), ("errors 1722", "meaning"), ("config show", "origin")]
)
def test_facts_are_one_json_document(words: str, field: str) -> None:
    result = CliRunner().invoke(kmstwist, [*words.split(), "--json"])
    assert result.exit_code == 0
    assert all(row[field] for row in json.loads(result.stdout))


def test_an_unknown_code_does_not_spoil_the_document() -> None:
    result = CliRunner().invoke(kmstwist, ["errors", "--json", "1722", "0x12345678"])
    assert result.exit_code == 1
    assert [row["decimal"] for row in json.loads(result.stdout)] == [1722]


def test_a_store_tells_of_itself_in_json(tmp_path: Path) -> None:
    store = ["--json", "--store", str(new_store(tmp_path).url.database)]
    found = [
        json.loads(CliRunner().invoke(kmstwist, [*words.split(), *store]).stdout)
        for words in ("audit verify", "products list", "audit salt show")
    ]
    assert found == [
        {"sound": True, "faults": []},
        [],
        {"file": str(Path(store[2]).with_name("audit.salt")), "fingerprint": None, "store": None},
    ]
