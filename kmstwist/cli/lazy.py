"""A group of commands that are imported when they are asked for, so that each starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from kmstwist.shown import visible_lines

#: The exit status of what Ctrl-C ended, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group with a table of commands, each as "module:attribute" below kmstwist.cli, beside those added to it."""

    def __init__(self, *args: Any, verbs: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs

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
        return sorted([*self._verbs, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, or None where there is no such verb."""
        place = self._verbs.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"kmstwist.cli.{module}"), attribute)
        return command
