"""A group of commands that are imported when they are asked for, so that each starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from kmstwist.shown import visible_lines

#: The exit status of what Ctrl-C ended, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130


class Verb(NamedTuple):
    """A command that is imported when it is asked for: "module:attribute" below kmstwist.cli, and what it does.

    `does` is the first sentence of the command's help, so that a list of commands imports none of them; None for a
    command that no list shows. A test holds the two together.
    """

    place: str
    does: str | None


class LazyGroup(click.Group):
    """A group with a table of commands that are imported when they are asked for, beside those added to it."""

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error's words are shown as they are, and a terminal obeys none of them."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except click.ClickException as error:
            vars(error)["message"] = visible_lines(error.message)
            if isinstance(error, click.FileError):
                vars(error)["ui_filename"] = visible_lines(error.ui_filename)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in alphabetical order."""
        return sorted([*self.verbs, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, or None where there is no such verb."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = verb.place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"kmstwist.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, as click does."""
        listed: dict[str, click.Command] = {}
        for name in self.list_commands(ctx):
            verb = self.verbs.get(name)
            command = super().get_command(ctx, name) if verb is None else click.Command(name, help=verb.does)
            if command is not None and not command.hidden and (verb is None or verb.does is not None):
                listed[name] = command
        if listed:
            limit = formatter.width - 6 - max(map(len, listed))
            with formatter.section("Commands"):
                formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in listed.items()])
