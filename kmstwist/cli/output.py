"""Standard output, distinguished from every other file when it cannot be written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from io import BufferedWriter, FileIO, RawIOBase, TextIOWrapper
from typing import Any, TypeVar, cast

import click

from kmstwist.shown import visible_lines

CommandT = TypeVar("CommandT", bound=Callable[..., object])


def json_option(command: CommandT) -> CommandT:
    """Give a command the option `--json`, passed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")(command)


def say_json(facts: object) -> None:
    """Print facts for `--json`, as every command does: one document, in lines that people can read, too."""
    click.echo(json.dumps(facts, indent=2))


def say(text: str, *, err: bool = False) -> None:
    """Print a text that may contain others' words, such as a file's name, so that a terminal obeys none of it."""
    click.echo(visible_lines(text), err=err)


class OutputError(Exception):
    """Standard output cannot be written; the text is the system's reason."""


class _StandardOutput(FileIO):
    """The process's standard output, with errors that are not mistaken for those of a file that a command uses."""

    def write(self, data: Any, /) -> int:
        """Write as a file does. Raises `OutputError`, except for a closed pipe, which is not an error of ours."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.strerror or str(error)) from None


def watch_standard_output() -> None:
    """From now on a standard output that cannot be written raises `OutputError`, whoever writes there."""
    stream = sys.stdout
    if stream is None:
        # Closed by whoever started us: nobody wants the output, which is not an error.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return
    if not isinstance(stream, TextIOWrapper):
        return
    stream.flush()
    raw = _StandardOutput(stream.fileno(), "wb", closefd=False)
    # `python -u` has no buffer, and must stay without one.
    buffer = raw if isinstance(stream.buffer, RawIOBase) else BufferedWriter(raw)
    sys.stdout = TextIOWrapper(
        cast(Any, buffer),
        encoding=stream.encoding,
        # A character the terminal's encoding lacks is shown by its number.
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def give_up_standard_output() -> None:
    """Drop what could not be written: Python would try again at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
