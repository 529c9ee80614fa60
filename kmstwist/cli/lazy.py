"""A group of commands that are imported when they are asked for, so that each starts fast."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from kmstwist.cli.usage_errors import in_our_words
from kmstwist.shown import visible_lines

#: The exit status of what Ctrl-C ended, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130


#: Longer than any sentence.
_WHOLE = 1000
#: Characters of what was typed that an error repeats.
_LONGEST = 100


def _said(text: str) -> str:
    """What was typed, as a terminal can show it, and no longer than a line."""
    return visible_lines(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


class Verb(NamedTuple):
    """A command that is imported when it is asked for: "module:attribute" below kmstwist.cli, and what it does.

    `does` is the first sentence of the command's help, so that a list of commands imports none of them; None for a
    command that no list shows. A test holds the two together.
    """

    place: str
    does: str | None


class LazyGroup(click.Group):
    """A group with a table of commands that are imported when they are asked for, beside those added to it."""

    def __init__(self, *args: Any, verbs: Mapping[str, Verb] = MappingProxyType({}), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the group's own options; mistakes in them are reported in our words."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            raise in_our_words(error) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; the words of an error are shown, but a terminal does not obey them."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except UnicodeEncodeError as error:
            # Only a file's name may be any bytes; everything else that is typed must be text, and this was not.
            told = click.ClickException(f"{_said(str(error.object))} is not text in UTF-8; type it again, or set LANG")
            raise told from None
        except OSError as error:
            # A name that no file can have, or a folder that this user may not enter: it fails before the file is
            # sought.
            place = f"{_said(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
            raise click.ClickException(f"{place}{error.strerror or error}") from None
        except click.ClickException as error:
            raise in_our_words(error) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in alphabetical order."""
        return sorted([*self.verbs, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, or None if there is no such verb."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = verb.place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"kmstwist.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to call; for an unknown name, the error suggests the one that may be meant."""
        name = str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = get_close_matches(name.casefold(), self._listed(ctx), 1, 0.6)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._listed(ctx))}"
            ctx.fail(f"there is no command {name!r}; {there}")
        return super().resolve_command(ctx, args)

    def _listed(self, ctx: click.Context) -> list[str]:
        hidden = {name for name, verb in self.verbs.items() if verb.does is None}
        return [name for name in self.list_commands(ctx) if name not in hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole summary: click would cut it at the end of a line."""
        listed: dict[str, click.Command] = {}
        for name in self.list_commands(ctx):
            verb = self.verbs.get(name)
            command = super().get_command(ctx, name) if verb is None else click.Command(name, help=verb.does)
            if command is not None and not command.hidden and (verb is None or verb.does is not None):
                listed[name] = command
        if listed:
            with formatter.section("Commands"):
                formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in listed.items()])
