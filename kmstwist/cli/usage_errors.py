"""What is wrong with a command line, in our words: click's messages are for programmers, and name no cure.

This serves all commands: `in_our_words` turns click's error into one for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import click

from kmstwist.shown import visible_lines

#: A word too long to read, which click repeats whole; some of the patterns below would take long for it.
_LONG_WORD = re.compile(r"(\S{100})\S{100,}(\S{20})")
#: click's messages about a value or a command line, and ours.
_WORDS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"is not a valid integer(?: range)?\.$"), "is not a whole number."),
    (re.compile(r"is not a valid float(?: range)?\.$"), "is not a number."),
    (re.compile(r"is not a valid UUID\.$"), "is not an id such as 01234567-89ab-cdef-0123-456789abcdef."),
    (re.compile(r"(\S+) is not in the range (\S+?)<=x<=(\S+?)\.$"), r"\1 is not from \2 to \3."),
    (re.compile(r"(\S+) is not in the range (\S+?)<x<=(\S+?)\.$"), r"\1 is not more than \2 and at most \3."),
    (re.compile(r"(\S+) is not in the range x>=(\S+?)\.$"), r"\1 is less than \2."),
    (re.compile(r"(?s)(['\"])((?:(?!\1).)*)\1 is not one of (.*)\.$"), lambda found: _none_of(found[2], found[3])),
    (
        re.compile(r"(?s)^(?:Got )?unexpected extra arguments? \((.*)\)\.?$"),
        r"there is more than the command takes: \1; a name with spaces goes in quotes.",
    ),
    (re.compile(r"^Option (\S+) requires (?:an argument|(\d+) arguments)\.$"), r"\1 needs a value after it."),
    (re.compile(r"^Option (\S+) does not take a value\.$"), r"\1 takes no value."),
    (re.compile(r"^No such option:? '(-\d\S*)'\.?(?= |$).*"), r"\1 is a number below zero, which is not taken here."),
    (re.compile(r"^No such option:? (\S+?)\.?(?= |$)"), r"there is no option \1."),
    (re.compile(r"^No such command:? (\S+?)\.?(?= |$)"), r"there is no command \1."),
    (re.compile(r"\. Did you mean '([^']*)'\?$"), r"; did you mean \1?"),
    (re.compile(r"\. \(Did you mean one of: (.*)\?\)$"), r"; did you mean one of \1?"),
    (re.compile(r"(?s)(?:File|Directory|Path) (['\"])(.*)\1 does not exist\.$"), lambda found: _not_there(found[2])),
    (re.compile(r"(?s)(?:File|Directory|Path) (['\"].*['\"]) is a directory\.$"), r"\1 is a folder; name a file."),
    (re.compile(r"(?s)(?:File|Directory|Path) (['\"].*['\"]) is a file\.$"), r"\1 is a file; name a folder."),
    (
        re.compile(r"(?s)(?:File|Directory|Path) (['\"].*['\"]) is not (read|writ)able\.$"),
        lambda found: f"you may not {'read' if found[2] == 'read' else 'write'} {found[1]}; run it with sudo.",
    ),
)


def in_our_words(error: click.ClickException) -> click.ClickException:
    """The same error in words for people, with a cure if the command line is wrong, and safe for a terminal."""
    if isinstance(error, click.FileError):
        vars(error)["ui_filename"] = visible_lines(error.ui_filename)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        # Not an error: its text is the help.
        return error
    if not isinstance(error, click.UsageError):
        vars(error)["message"] = visible_lines(error.message)
        return error
    if isinstance(error, click.MissingParameter) and error.param is not None:
        said = _missing(error.param, error.ctx)
    else:
        said = _LONG_WORD.sub(r"\1...\2", error.format_message())
        for click_s, ours in _WORDS:
            said = click_s.sub(ours, said)
    return click.UsageError(visible_lines(said), error.ctx)


def _missing(parameter: click.Parameter, ctx: click.Context | None) -> str:
    """The missing parameter, how to give it, and what it is."""
    if ctx is None:
        return f"{parameter.name} is missing."
    if isinstance(parameter, click.Option):
        what = f"{max(parameter.opts, key=len)} {parameter.make_metavar(ctx)}"
        about = f": {parameter.help[0].lower()}{parameter.help[1:]}" if parameter.help else "."
        return f"{what} is missing{about}"
    what = parameter.make_metavar(ctx).strip("[]").removesuffix("...")
    such = f"; it is one of {', '.join(parameter.type.choices)}" if isinstance(parameter.type, click.Choice) else ""
    arguments = [each.make_metavar(ctx) for each in ctx.command.params if isinstance(each, click.Argument)]
    return f"{what} is missing{such}; type `{' '.join([ctx.command_path, *arguments])}`."


def _none_of(given: str, listed: str) -> str:
    """The message for an unknown word, with the one that may be meant."""
    there = re.findall(r"'([^']*)'", listed)
    near = get_close_matches(given.casefold(), there, 1, 0.6)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"must be one of {', '.join(there)}, not {given!r}{meant}"


def _not_there(name: str) -> str:
    """The message for a missing file, with the folder in which it was sought."""
    if Path(name).is_absolute() or not name:
        return f"there is no {name!r}; check how it is spelt."
    try:
        folder = Path.cwd()
    except OSError:
        return f"there is no {name!r} here; check how it is spelt, and in which folder you are."
    return f"there is no {name!r} in {folder}; check how it is spelt, and in which folder you are."
