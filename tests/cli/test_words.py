"""What is said of a mistyped command or a wrong value."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.main import kmstwist


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reprot", "there is no command 'reprot'; did you mean report?"),
        ("audit vaccum", "there is no command 'vaccum'; did you mean vacuum?"),
        ("lab machine nwe", "there is no command 'nwe'; did you mean new?"),
        ("report clinets", "there is no report 'clinets'; did you mean clients?"),
        ("gateway status --port abc", "Invalid value for '--port': 'abc' is not a whole number."),
        ("gateway status --port 70000", "Invalid value for '--port': 70000 is not from 0 to 65535."),
        ("probe h --timeout soon", "Invalid value for '--timeout': 'soon' is not a number."),
        ("report clients --limit -1", "Invalid value for '--limit': -1 is less than 0."),
        ("probe a b", "there is more than the command takes: b."),
        ("gateway status --port", "'--port' needs a value after it."),
        ("gateway status --json=3", "'--json' takes no value."),
        ("gateway status --prot 3", "there is no option '--prot'."),
    ],
)
def test_it_names_what_was_meant(words: str, said: str) -> None:
    result = CliRunner().invoke(kmstwist, words.split())
    assert result.exit_code == 2
    assert f"Error: {said}" in result.stderr


def test_no_list_of_commands_is_cut() -> None:
    for words in ([], ["lab"], ["audit"], ["dns"], ["config"]):
        assert "..." not in CliRunner().invoke(kmstwist, [*words, "--help"]).stdout.replace("[ARGS]...", "")
