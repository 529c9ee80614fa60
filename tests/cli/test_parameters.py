"""What the options of all commands have in common."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kmstwist.cli.common import FiniteRange
from kmstwist.cli.main import kmstwist
from tests.system.running import kmstwist as run


def commands(group: click.Group, name: str = "kmstwist") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with the words it is typed by."""
    with click.Context(group) as context:
        for verb in group.list_commands(context):
            command = group.get_command(context, verb)
            assert command is not None
            yield f"{name} {verb}", command
            if isinstance(command, click.Group):
                yield from commands(command, f"{name} {verb}")


def test_no_number_with_a_fraction_may_be_nan_or_infinite() -> None:
    """click's own types take both, and no clock of Twisted's does."""
    fractions = {
        f"{words} {parameter.name}": isinstance(parameter.type, FiniteRange)
        for words, command in commands(kmstwist)
        for parameter in command.params
        if isinstance(parameter.type, click.types.FloatParamType)
    }
    assert "kmstwist lab activate timeout" in fractions
    assert [where for where, finite in fractions.items() if not finite] == []


def test_a_probe_with_a_timeout_that_is_not_a_number_is_a_usage_error() -> None:
    result = run("probe", "127.0.0.1", "--timeout", "nan")
    assert (result.returncode, result.stdout) == (2, "")
    assert "'--timeout': nan is not a number." in result.stderr
    assert "Traceback" not in result.stderr
