"""Where log lines go: standard output, a file, systemd's journal or syslog, as twistd's own options say.

How events become lines is in `lines`, how they leave the process without waiting for a reader in `outlets`.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from kmstwist.logevents import LOG_LOST, LOG_REOPEN
from kmstwist.reactor import installed_reactor
from kmstwist.startup import StartupError
from kmstwist.system.privileges import Identity, acting_as, future_identity, with_rights_for
from kmstwist.telemetry.journal import Journal, writes_to_journal
from kmstwist.telemetry.lines import (
    FORMATTERS,
    REPORT_INTERVAL,
    WITHOUT_TIME,
    FloodLimit,
    Formatter,
    Level,
    LineObserver,
    format_text,
)
from kmstwist.telemetry.outlets import SyslogOutlet, stdout_outlet
from kmstwist.telemetry.settings import LogSettings

_DIM, _BOLD, _PLAIN_AGAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_COLOURS = {"warn": "\x1b[33m", "error": "\x1b[1;31m", "critical": "\x1b[1;31m"}


def format_coloured(when: str, level: str, name: str, fields: Mapping[str, object]) -> str:
    """A line of text with its time dimmed, and its level coloured if it needs attention."""
    colour = _COLOURS.get(level)
    shown = level if colour is None else f"{colour}{level}{_PLAIN_AGAIN}"
    return format_text(f"{_DIM}{when}{_PLAIN_AGAIN}", shown, f"{_BOLD}{name}{_PLAIN_AGAIN}", fields)


class TerminalObserver(LineObserver):
    """Writes lines to a terminal, for a person: the level stands out. JSON is left as it is."""

    formatters = {**FORMATTERS, "text": format_coloured}


class SyslogObserver(LineObserver):
    """Writes lines for syslog, which adds its own time."""

    formatters = WITHOUT_TIME


def wants_colour(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether lines on this descriptor are to have colours: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return os.isatty(descriptor) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class JournalObserver(LineObserver):
    """Sends events to systemd's journal, as a line without its time and as separate fields."""

    formatters = WITHOUT_TIME

    def __init__(self, formatter: Formatter, level: str, journal: Journal) -> None:
        super().__init__(formatter, level, lambda line, level: None)
        self._journal = journal

    def write_event(self, line: str, level: Level, name: str, fields: Mapping[str, object]) -> None:
        """Send one entry; the journal adds its own time."""
        self._journal.send(line, level, name, fields)


class LogFile:
    """A log file that is opened again after it was rotated away, or on request.

    Each line is one write to the end of the file, so that lines stay whole even if other processes write there. If the
    disk is full, lines are lost and the server goes on; as soon as there is room again, a line says how many were lost.
    """

    def __init__(self, path: Path, identity: Identity | None = None) -> None:
        """`identity` is the user this process is about to become, as whom the file is opened. Raises `StartupError`."""
        self._path = path
        self._descriptor = self._first_open(identity)
        self._mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        self._lost = 0
        self._torn = False
        self._log = Logger(namespace="kmstwist.server")

    def _open(self) -> int:
        # Opened for reading as well, so that with a named pipe neither this nor `write` waits for a reader.
        access = os.O_RDWR if self._path.is_fifo() else os.O_WRONLY
        return os.open(self._path, access | os.O_NONBLOCK | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _first_open(self, identity: Identity | None) -> int:
        try:
            with acting_as(identity), suppress(PermissionError):
                return self._open()
            # Where the other user may not create the file, root creates it: once, empty, and only if it is missing.
            with with_rights_for(self._path, identity) as real, suppress(FileExistsError):
                made = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
                if identity is not None:
                    os.fchown(made, identity.uid, identity.gid)
                os.close(made)
            with acting_as(identity):
                return self._open()
        except OSError as error:
            who = "" if identity is None else f" by user {identity.uid}, who kmstwist runs as"
            raise StartupError(
                f"the log {self._path} cannot be written{who}: {error.strerror}", "name another with --logfile"
            ) from None

    def write(self, line: str, level: object) -> None:
        """Append a line."""
        data = (("\n" if self._torn else "") + line + "\n").encode("utf-8", errors="backslashreplace")
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._lost += 1
            self._why = error.strerror
            return
        self._torn = written < len(data)
        if self._torn:
            self._lost += 1
            self._why = "no space left for the whole line"
        elif self._lost:
            lost, self._lost = self._lost, 0
            LOG_LOST.emit(self._log, lines=lost, detail=self._why)

    def reopen(self) -> None:
        """Open the file that is at the path now, and close the old one; if that fails, go on with the old one."""
        new = not self._path.exists()
        try:
            opened = self._open()
            if new:
                # A daemon's umask may differ from that at its start; the new file gets the mode of the first.
                os.fchmod(opened, self._mode)
        except OSError as error:
            LOG_REOPEN.emit(self._log, file=str(self._path), detail=error.strerror)
            return
        os.close(self._descriptor)
        self._descriptor = opened


def make_observer(
    formatter: str,
    level: str,
    *,
    logfile: str | None,
    use_syslog: bool,
    prefix: str,
    foreground: bool,
    identity: Identity | None = None,
) -> tuple[LineObserver, LogFile | None]:
    """The observer that twistd's own `--logfile`, `--syslog` and `--nodaemon` ask for, and its file if it has one."""
    running = installed_reactor()
    if use_syslog:
        daemon = SyslogOutlet(prefix, running)
        running.addSystemEventTrigger("after", "shutdown", daemon.finish)
        return SyslogObserver(WITHOUT_TIME[formatter], level, daemon.write), None
    if logfile == "-" or (not logfile and foreground):
        if writes_to_journal():
            with suppress(OSError):
                journal = Journal(prefix, running)
                running.addSystemEventTrigger("after", "shutdown", journal.finish)
                return JournalObserver(WITHOUT_TIME[formatter], level, journal), None
        stdout = stdout_outlet(running)
        running.addSystemEventTrigger("after", "shutdown", stdout.finish)
        kind = TerminalObserver if wants_colour(sys.stdout.fileno(), os.environ) else LineObserver
        return kind(kind.formatters[formatter], level, stdout.write), None
    file = LogFile(Path(os.path.abspath(logfile or "twistd.log")), identity)
    return LineObserver(FORMATTERS[formatter], level, file.write), file


#: The arguments of `direct_log`: twistd is given a logger by its import path and calls it without arguments.
_directed: dict[str, Any] = {}


def direct_log(twistd: MutableMapping[str, Any], settings: LogSettings) -> None:
    """Make twistd log in the way the settings say, to where its own options say.

    An observer that the administrator named with twistd's `--logger` is left alone.
    """
    if twistd.get("logger"):
        return
    _directed.update(settings=settings, twistd=twistd)
    twistd["logger"] = f"{__name__}.directed_observer"


def directed_observer() -> FloodLimit:
    """The observer that `direct_log` prepared. It is made after the fork into the background, which opens the file."""
    twistd: Mapping[str, Any] = _directed["twistd"]
    settings: LogSettings = _directed["settings"]
    observer, file = make_observer(
        settings.format,
        settings.level,
        logfile=twistd.get("logfile"),
        use_syslog=bool(twistd.get("syslog")),
        # "twisted" is twistd's own default.
        prefix="kmstwist" if twistd.get("prefix") in (None, "twisted") else twistd["prefix"],
        foreground=bool(twistd.get("nodaemon")),
        identity=future_identity(twistd),
    )
    if file is not None:
        reopen_on_sigusr1(file)
    limit = limited(observer, settings)
    _directed.update(observer=observer, limit=limit)
    return limit


def limited(observer: LineObserver, settings: LogSettings) -> FloodLimit:
    """The observer behind a limit on floods, which reports what it drops while the reactor runs."""
    running = installed_reactor()
    limit = FloodLimit(observer, time.monotonic, burst=settings.flood_burst, rate=settings.flood_rate)
    reports = LoopingCall(limit.report)
    running.callWhenRunning(reports.start, REPORT_INTERVAL, now=False)
    running.addSystemEventTrigger("after", "shutdown", limit.report)
    return limit


def reopen_on_sigusr1(file: LogFile) -> None:
    """Make SIGUSR1 open the file again: between two events of the reactor, never in the middle of a line."""
    running = installed_reactor()
    signal.signal(signal.SIGUSR1, lambda *_: running.callFromThread(file.reopen))


def redirect_log(settings: LogSettings) -> None:
    """Apply these settings to the log that `direct_log` set up, from now on."""
    if "observer" in _directed:
        observer: LineObserver = _directed["observer"]
        limit: FloodLimit = _directed["limit"]
        observer.configure(observer.formatters[settings.format], settings.level)
        limit.configure(burst=settings.flood_burst, rate=settings.flood_rate)
