"""Reading a unit's lines from systemd's journal, with `journalctl`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from kmstwist.problem import ProblemError

#: How journalctl's own remarks begin, such as `-- No entries --` and `-- Boot ... --`.
_REMARK = "-- "
_CURSOR = "-- cursor: "


class JournalError(ProblemError):
    """The journal cannot be read."""


def journal_is_there() -> bool:
    """Whether systemd runs this machine and its journal can be asked."""
    return Path("/run/systemd/system").is_dir() and shutil.which("journalctl") is not None


def read_journal(unit: str, since: datetime | None, *, follow: bool) -> tuple[Iterator[str], Iterator[str]]:
    """The unit's lines since then (all without `since`), and, with `follow`, an endless stream of the lines to come.

    Read the first iterator to its end before the second, which begins there. Each line begins with its time. Both
    raise `JournalError` while they are read.
    """
    # short-iso: a time with its zone, as `kmstwist.cli.logs.loglines` understands it.
    command = ["journalctl", f"--unit={unit}", "--output=short-iso", "--no-pager"]
    cursor: list[str] = []
    from_then = [] if since is None else [f"--since=@{since.timestamp():.6f}"]

    def past() -> Iterator[str]:
        for line in _lines([*command, *from_then, "--show-cursor"]):
            if line.startswith(_CURSOR):
                cursor.append(line.removeprefix(_CURSOR).strip())
            elif not line.startswith(_REMARK):
                yield line

    def future() -> Iterator[str]:
        begin = [f"--after-cursor={cursor[-1]}"] if cursor else from_then
        for line in _lines([*command, *begin, "--follow", "--no-tail"]):
            if not line.startswith(_REMARK):
                yield line

    return past(), future() if follow else iter(())


def _lines(command: list[str]) -> Iterator[str]:
    try:
        # journalctl itself reports what is wrong, such as a missing permission, on standard error.
        journalctl = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace")
    except OSError as error:
        raise JournalError(f"journalctl cannot be started: {error.strerror}", "name a file instead") from None
    with journalctl:
        assert journalctl.stdout is not None
        try:
            yield from journalctl.stdout
        except BaseException:
            # No more lines are wanted. Its exit status matters only if it ended by itself.
            journalctl.terminate()
            raise
    if journalctl.returncode > 0:
        raise JournalError(f"journalctl ended with status {journalctl.returncode}: {' '.join(command)}")
