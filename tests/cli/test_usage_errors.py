"""The messages for a misspelt command or a wrong value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kmstwist.cli.common import HOST_PORT
from kmstwist.cli.main import kmstwist
from kmstwist.cli.reference import contexts


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
        ("probe a b", "there is more than the command takes: b; a name with spaces goes in quotes."),
        ("gateway status --port", "'--port' needs a value after it."),
        ("gateway status --json=3", "'--json' takes no value."),
        ("gateway status --prot 3", "there is no option '--prot'; did you mean --port?"),
        ("probe http://h", "'http://h' is a URL; write HOST or HOST:PORT, without http://"),
        ("completion tcsh", "must be one of bash, zsh, fish, not 'tcsh'."),
        ("lab machine age PC2 -5", "-5 is a number below zero, which is not taken here."),
        ("web password bob", "there is no terminal on which to ask for the password; give it with --password"),
        ("--bogus", "there is no option '--bogus'."),
        ("setup-client", "--product NAME is missing: the product, as `kmstwist keys` lists it."),
        ("probe", "HOST is missing; type `kmstwist probe HOST`."),
        ("lab machine trouble PC", "TROUBLE is missing; it is one of not-bound, "),
        (
            "dns show --domain a.b --as binnd",
            "must be one of bind, nsupdate, powershell, dnsmasq, unbound, not 'binnd'; did you",
        ),
        ("lab machine new P --product x --kms-version 7", "must be one of 4, 5, 6, not '7'."),
        ("events watch /nowhere/at-all", "there is no '/nowhere/at-all'; check how it is spelt."),
        ("lab fleet run --scenario x --json /", "'/' is a folder; name a file."),
    ],
)
def test_it_names_what_was_meant(words: str, said: str) -> None:
    result = CliRunner().invoke(kmstwist, words.split())
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert said in result.stderr


def test_every_command_of_every_list_fits_its_line_on_a_terminal_of_80_columns() -> None:
    for context in contexts(terminal_width=78):
        if isinstance(context.command, click.Group):
            listed = context.get_help().partition("Commands:\n")[2].splitlines()
            commands = [name for name in context.command.list_commands(context) if not _hidden(context.command, name)]
            assert [line.split()[0] for line in listed] == commands
            assert "..." not in "".join(listed)


def _hidden(group: click.Group, name: str) -> bool:
    command = group.get_command(click.Context(group), name)
    return command is None or command.hidden


#: Words of click's that no person is to read; a new version of click may bring others.
CLICK_S = re.compile(r"Missing |not a valid|No such (option|command)|is not one of|not in the range|requires an|Got un")


def test_no_mistake_in_any_command_is_reported_in_the_library_s_words() -> None:
    for context in contexts():
        words = context.command_path.split()[1:]
        if context.command.context_settings.get("ignore_unknown_options"):
            # What it is given are options of the server's, which says so itself.
            continue
        for mistake in ([], ["--no-such-option"], *_wrong_values(context.command)):
            if not mistake and (isinstance(context.command, click.Group) or not _needs(context.command)):
                continue
            said = CliRunner().invoke(kmstwist, [*words, *mistake])
            assert said.exit_code == 2, (words, mistake, said.output)
            assert "Error: " in said.stderr
            assert not CLICK_S.search(said.stderr), (words, mistake, said.stderr)


def _needs(command: click.Command) -> bool:
    return any(parameter.required for parameter in command.params)


def _wrong_values(command: click.Command) -> Iterator[list[str]]:
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag:
            yield [option.opts[0]]
            if isinstance(option.type, click.IntRange | click.FloatRange | click.Choice):
                yield [option.opts[0], "no-such-value"]


def test_a_password_comes_from_a_pipe_without_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "users"
    said = CliRunner().invoke(kmstwist, ["web", "password", "bob", "--file", str(file)], input="LAB-word\n")
    assert said.exit_code == 0, said.output
    assert file.read_text(encoding="utf-8").startswith("bob:scrypt$")
    assert "LAB-word" not in said.output


@pytest.mark.parametrize(("words", "told"), [("probe ::1:1690", True), ("probe ::1", False)])
def test_an_address_is_taken_for_what_it_may_be_and_said(words: str, told: bool) -> None:
    said = CliRunner().invoke(takes_host, words.split()[1:])
    assert ("write [::1]:1690" in said.stderr) is told


@click.command()
@click.argument("host", type=HOST_PORT)
def takes_host(host: object) -> None:
    """A command that takes a host and does nothing."""
