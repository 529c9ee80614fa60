"""Commands that print facts print them for scripts, too."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kmstwist.cli.main import kmstwist
from kmstwist.cli.reference import contexts
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
        {"sound": True, "faults": [], "more": False},
        [],
        {"file": str(Path(store[2]).with_name("audit.salt")), "fingerprint": None, "store": None},
    ]


#: Commands without `--json`, and why: their output is not facts for a script, or is made for one already.
WITHOUT_JSON = {
    "audit backup": "does something, and says so",
    "audit forget": "does something, and says so",
    "audit salt export": "does something, and says so",
    "audit salt import": "does something, and says so",
    "audit vacuum": "does something, and says so",
    "completion": "prints a script for the shell",
    "demo": "runs a server",
    "dns publish": "does something, and says so",
    "dns withdraw": "does something, and says so",
    "events import": "does something, and says so",
    "events listen": "runs until it is interrupted",
    "events watch": "runs until it is interrupted",
    "gateway pause": "does something, and says so",
    "gateway resume": "does something, and says so",
    "lab confirm": "prints one id, as the telephone says it",
    "lab hostkey": "prints one key",
    "lab machine age": "does something, and shows the result; `lab machine show --json` has the facts",
    "lab machine clone": "does something, and says so",
    "lab machine delete": "does something, and says so",
    "lab machine generalize": "does something, and says so",
    "lab machine new": "does something, and shows the result; `lab machine show --json` has the facts",
    "lab machine trouble": "does something, and says so",
    "lab ospp": "prints what Windows' own program prints",
    "lab shim": "does something, and says so",
    "lab slmgr": "prints what Windows' own program prints",
    "log": 'prints the lines of the log, which is JSON itself with log_format = "json"',
    "products import": "does something, and says so",
    "serve": "runs the server",
    "service install": "does something, and says so",
    "service remove": "does something, and says so",
    "upstreams drain": "does something, and says so",
    "upstreams undrain": "does something, and says so",
    "web password": "prints one line for the configuration",
}


def test_every_command_that_prints_facts_has_json() -> None:
    without = {
        context.command_path.removeprefix("kmstwist ")
        for context in contexts()
        if not isinstance(context.command, click.Group)
        and not any("--json" in parameter.opts for parameter in context.command.params)
    }
    assert without == WITHOUT_JSON.keys()


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("dns show --domain corp.test --host gw.corp.test", {"name", "target", "port", "text"}),
        ("setup-client --product win10pro --discover", {"product", "gvlk", "commands", "text"}),
        ("lab fleet scenarios", {"scenario", "machines", "days", "shows"}),
        ("lab fleet scenarios cloned-image", {"name", "days", "machines"}),
        ("lab machine registry PC", {"key", "name", "type", "data"}),
    ],
)
def test_facts_have_names(words: str, fields: set[str], tmp_path: Path) -> None:
    folder = ["--state-dir", str(tmp_path)] if "machine" in words else []
    if folder:
        CliRunner().invoke(kmstwist, ["lab", "machine", "new", "PC", "--product", "win10pro", *folder])
    result = CliRunner().invoke(kmstwist, [*words.split(), *folder, "--json"])
    found = json.loads(result.stdout)
    assert fields <= (found[0] if isinstance(found, list) else found).keys()


def test_two_scenarios_are_compared_in_json() -> None:
    small = ["branch-of-24", "cloned-image", "--machines", "5"]
    found = json.loads(CliRunner().invoke(kmstwist, ["lab", "fleet", "compare", *small, "--json"]).stdout)
    assert [each["machines"] for each in found] == [5, 5]


@pytest.mark.parametrize(
    ("text", "in_order", "mistakes"),
    [("[server]\nport = 1699\n", True, 0), ("[server]\nport = 'x'\nprot = 3\n", False, 2), ("[server\n", False, 1)],
)
def test_mistakes_are_a_list(text: str, in_order: bool, mistakes: int, tmp_path: Path) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(kmstwist, ["config", "check", "--json", str(file)])
    found = json.loads(result.stdout)
    assert (found["in_order"], len(found["mistakes"])) == (in_order, mistakes)
    assert result.exit_code == (0 if in_order else 1)


def test_the_outcome_of_each_test_message_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text('[notify]\ntargets = ["json://127.0.0.1:9/"]\n', encoding="utf-8")
    result = CliRunner().invoke(kmstwist, ["notify", "test", "--json", "--config", str(file)])
    assert result.exit_code == 1
    assert [(each["sent"], bool(each["error"])) for each in json.loads(result.stdout)] == [(False, True)]
