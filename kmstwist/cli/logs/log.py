"""`kmstwist log`: read the log with colour, follow it, pick lines out, and explain their codes."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from kmstwist.cli import completing
from kmstwist.cli.common import NETWORK, AnyPath
from kmstwist.cli.logs.loglines import LogLine, Wanted, parse_since, select
from kmstwist.shown import visible
from kmstwist.system.rights import NoFile, opened_text

if TYPE_CHECKING:
    from rich.console import Console

#: Where the init script has the log written, and where rsyslog writes it.
DEFAULT_FILES = (Path("/var/log/kmstwist/kmstwist.log"), Path("/var/log/kmstwist.log"))
#: Seconds between looks at a file that is followed.
_LOOK = 0.25
#: Characters of a file that tell whether it is a log at all.
_SAMPLE = 1 << 12
_LEVEL_STYLE = {"debug": "dim", "info": "", "warn": "yellow", "error": "bold red", "critical": "bold red"}
_RESULT_STYLE = {"activated": "green", "answered": "green", "refused": "yellow", "fault": "red", "none": "dim"}


@click.command()
@click.argument("file", type=AnyPath(allow_dash=True), required=False)
@click.option(
    "--unit",
    metavar="NAME",
    help="Read systemd's journal of this unit.  [default: kmstwist, where no FILE is named and there is no log file]",
)
@click.option("--client", "clients", type=NETWORK, multiple=True, help="Lines of this client or network.")
@click.option(
    "--machine", "machines", metavar="NAME", multiple=True, help="Lines with this machine name; * is any text."
)
@click.option(
    "--reason",
    "reasons",
    metavar="CODE",
    multiple=True,
    shell_complete=completing.reasons,
    help="Lines with this reason code; upstream-* works.",
)
@click.option(
    "--result",
    "results",
    metavar="WORD",
    multiple=True,
    help="Lines with this result: activated, refused, fault, none.",
)
@click.option(
    "--event",
    "events",
    metavar="NAME",
    multiple=True,
    shell_complete=completing.log_events,
    help="Lines of this event, such as conversation.",
)
@click.option("--since", metavar="WHEN", help="Lines since then: 10m, 2h or 3d ago, or a date and time in UTC.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), help="At most this many lines, the last ones.  [default: all; 20 with -f]"
)
@click.option(
    "-f", "--follow", is_flag=True, help="Follow the log as it grows, across its rotation, until interrupted."
)
@click.option("--explain", is_flag=True, help="Say what each reason and status code means and what to do, once each.")
@click.pass_context
def log(
    ctx: click.Context,
    file: Path | None,
    unit: str | None,
    clients: tuple[Any, ...],
    machines: tuple[str, ...],
    reasons: tuple[str, ...],
    results: tuple[str, ...],
    events: tuple[str, ...],
    since: str | None,
    lines: int | None,
    follow: bool,
    explain: bool,
) -> None:
    """Show kmstwist's log, filtered and explained.

    It is FILE, or the one in /var/log, or systemd's journal; - is standard input. In /var/log it is
    kmstwist/kmstwist.log, or rsyslog's kmstwist.log: the one that was written last. The command reads text and JSON
    lines, also as syslog or journalctl passed them on. Conditions of one kind are alternatives; conditions of different
    kinds must all hold.
    """
    from rich.console import Console

    from kmstwist.cli.logs.journal import JournalError, journal_is_there, read_journal

    if file is not None and unit is not None:
        raise click.UsageError("name either a FILE or a --unit")

    try:
        moment = None if since is None else parse_since(since, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--since") from None
    wanted = Wanted(clients, reasons, results, events, machines, moment)
    picky = wanted != Wanted()
    printer = Printer(Console(highlight=False, soft_wrap=True), explain=explain)
    if lines is None and follow:
        lines = 20
    if file == Path("-"):
        # Decoded like a file, whatever encoding the environment gives to standard input: a line may hold any bytes.
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        _print(select(sys.stdin, wanted, others=not picky), lines, printer)
        return
    path = file or _default_file()
    if unit is None and file is None and not path.exists() and journal_is_there():
        unit = "kmstwist"
    try:
        if unit is not None:
            past, future = read_journal(unit, moment, follow=follow)
            _print(select(past, wanted, others=not picky), lines, printer)
            _go_on(future, wanted, picky, printer)
        else:
            with opened_text(path, errors="replace") as stream:
                _refuse_binary(path, stream)
                _print(select(stream, wanted, others=not picky), lines, printer)
                if follow:
                    _go_on(followed(path, stream, lambda: time.sleep(_LOOK)), wanted, picky, printer)
    except KeyboardInterrupt:
        ctx.exit(0)
    except FileNotFoundError:
        hint = "check how its name is spelt" if file else "name the file, or with systemd: kmstwist log --unit kmstwist"
        raise click.ClickException(f"there is no log {path}; {hint}") from None
    except IsADirectoryError:
        raise click.ClickException(f"{path} is a folder; name the log in it") from None
    except (JournalError, NoFile) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        hint = "; run the command with sudo" if isinstance(error, PermissionError) else ""
        raise click.ClickException(f"the log {path} cannot be read: {error.strerror}{hint}") from None


def _refuse_binary(path: Path, stream: IO[str]) -> None:
    """Raise `ClickException` for a file that does not begin like a log; a pipe is not checked."""
    if not stream.seekable():
        return
    sample = stream.read(_SAMPLE)
    if "\0" in sample and not re.search(r"\d{4}-\d\d-\d\d", sample):
        raise click.ClickException(
            f"{path} is not a log: it is not text; name the file that --logfile or the unit names"
        )
    stream.seek(0)


def _default_file() -> Path:
    """The log file that was written last; the first one if none exists."""
    there = [path for path in DEFAULT_FILES if path.exists()]
    return max(there, key=lambda path: path.stat().st_mtime, default=DEFAULT_FILES[0])


def _go_on(growing: Iterator[str], wanted: Wanted, picky: bool, printer: Printer) -> None:
    for line in select(growing, wanted, others=not picky):
        printer.show(line)


def _print(chosen: Iterator[LogLine], lines: int | None, printer: Printer) -> None:
    for line in chosen if lines is None else deque(chosen, maxlen=lines):
        printer.show(line)


def followed(path: Path, stream: IO[str], wait: Callable[[], None]) -> Iterator[str]:
    """Whole lines as they are written, and after a rotation those of the new file; never ends by itself.

    `wait` is called whenever there is nothing to read.
    """
    started = ""
    while True:
        piece = stream.readline()
        if piece:
            started += piece
            if started.endswith("\n"):
                yield started
                started = ""
            continue
        newer = _replaced(path, stream)
        if newer is None:
            wait()
        else:
            # The new file exists, so nothing more will be written to the old one: read what it still has, then leave.
            yield from stream
            stream = newer


def _replaced(path: Path, stream: IO[str]) -> IO[str] | None:
    """The file now at the path, opened, if it is not the stream's own or if it was truncated; None otherwise."""
    try:
        now = path.stat()
    except OSError:
        return None
    then = os.fstat(stream.fileno())
    if (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino) and now.st_size >= stream.tell():
        return None
    return opened_text(path, errors="replace")


class Printer:
    """Prints lines with colour where it is wanted, and each code's explanation once."""

    def __init__(self, console: Console, *, explain: bool) -> None:
        self._console = console
        self._explain = explain
        self._explained: set[str] = set()

    def show(self, line: LogLine) -> None:
        """Print one line."""
        from rich.text import Text

        text = Text(visible(line.text))
        text.stylize(_LEVEL_STYLE.get(line.level, ""))
        text.highlight_regex(r"^\S+Z", "dim")
        text.highlight_regex(r"(?<=\w)=(?=\S)", "dim")
        text.highlight_regex(r"\bclient=(?P<address>\S+)", "")
        text.highlight_regex(r"(?<=\bclient=)\S+|(?<=\bmachine=)\S+", "bold")
        style = _RESULT_STYLE.get(line.fields.get("result", ""))
        if style:
            text.highlight_regex(r"(?<=\bresult=)\S+|(?<=\"result\": )\"\w+\"|(?<=\bcode=)\S+", style)
        if line.fields.get("reason", "ok") not in ("ok", "client-closed"):
            text.highlight_regex(r"(?<=\breason=)\S+|(?<=\"reason\": )\"[\w-]+\"", "yellow")
        self._console.print(text)
        if self._explain:
            for sentence in self._explanations(line):
                self._console.print(Text("    " + sentence, "cyan"))

    def _explanations(self, line: LogLine) -> Iterator[str]:
        from kmstwist.kms.status import explain, parse_code
        from kmstwist.reasons import EXPLANATIONS, Reason

        for key in ("reason", "for_reason"):
            reason = line.fields.get(key, "")
            if reason in ("", Reason.OK) or reason in self._explained or reason not in set(Reason):
                continue
            self._explained.add(reason)
            known = EXPLANATIONS[Reason(reason)]
            yield f"{reason}: {known.meaning}. What to do: {known.cure}"
        code = line.fields.get("code", "")
        if code and code not in self._explained:
            self._explained.add(code)
            try:
                status = explain(parse_code(code))
            except ValueError:
                status = None
            if status is not None and status.code != 0:
                yield f"{code} {status.symbol}: {status.text} What to do: {status.cure}"
