"""Log lines to systemd's journal with their fields, so that `journalctl KMS_REASON=upstream-timeout` finds them.

The journal's native protocol (systemd's "Native Journal Protocol") is one datagram an entry: `FIELD=value` lines, or
for a value with a line break the name, its length in eight bytes and the value. No library is needed, and none is in
the way where there is no systemd.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IWriteDescriptor
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.logevents import LOG_LOST

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
_PRIORITY = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}
#: Characters of a message that is sent alone where the whole entry was too large for a datagram.
_SHORT = 32_000
#: Bytes of an entry that surely go into one datagram: half of the send buffer Linux gives a socket (`wmem_default`).
_LARGE = 100_000
#: Entries that wait while the journal is slower than the clients.
WAITING = 20_000
#: Seconds that a journal which takes nothing is waited for when the process ends.
_LAST_MOMENT = 2.0


def writes_to_journal(environ: Mapping[str, str] | None = None, descriptor: int | None = None) -> bool:
    """Whether standard output is the journal's stream, as systemd says in `JOURNAL_STREAM` (systemd.exec(5))."""
    stream = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        state = os.fstat(sys.stdout.fileno() if descriptor is None else descriptor)
    except (OSError, ValueError):
        return False
    return stream == f"{state.st_dev}:{state.st_ino}"


@implementer(IWriteDescriptor)
class Journal:
    """Sends entries to the journal's socket, and never waits for it.

    While the journal is slower than the clients, entries wait here, up to `WAITING` of them, and are sent as soon as it
    takes more; beyond that they are lost, and counted.
    """

    def __init__(self, identifier: str, reactor: Any, path: Path = JOURNAL_SOCKET, log: Logger | None = None) -> None:
        """`identifier` is what `journalctl -t` selects by. Raises `OSError` where there is no journal at `path`."""
        self._identifier = identifier
        self._reactor = reactor
        self._log = log or Logger(namespace="kmstwist.server")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._why: str | None = None

    def send(self, message: str, level: Any, name: str, fields: Mapping[str, object]) -> None:
        """Send one entry, or have it wait its turn. One too large for a datagram keeps its message only."""
        head = {"MESSAGE": message, "PRIORITY": _PRIORITY[level], "SYSLOG_IDENTIFIER": self._identifier}
        own = {f"KMS_{_field_name(key)}": value for key, value in fields.items() if value is not None and value != ""}
        entry = encode_entry({**head, "KMS_EVENT": name, **own})
        if len(entry) > _LARGE:
            entry = encode_entry({**head, "MESSAGE": message[:_SHORT], "KMS_EVENT": name})
        if self._waiting:
            self._wait(entry)
        elif not self._sent(entry):
            self._wait(entry)
            self._reactor.addWriter(self)

    def _wait(self, entry: bytes) -> None:
        if len(self._waiting) < WAITING:
            self._waiting.append(entry)
        else:
            self._lose("the journal does not keep up")

    def _sent(self, entry: bytes) -> bool:
        """Whether the entry needs no more care: it was taken, or it cannot be."""
        try:
            self._socket.send(entry)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(error.strerror)
            return True
        if self._lost:
            lost, self._lost = self._lost, 0
            LOG_LOST.emit(self._log, lines=lost, detail=self._why)
        return True

    def _lose(self, why: str | None) -> None:
        self._lost += 1
        self._why = why

    def flush(self) -> None:
        """Send what waits, for as long as the journal takes it at once."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()

    def finish(self) -> None:
        """Send what waits, now that the process ends and clients wait for nothing any more."""
        self._socket.settimeout(_LAST_MOMENT)
        # What the journal does not take now is lost with the process, and there is nobody left to tell.
        with contextlib.suppress(OSError):
            while self._waiting:
                self._socket.send(self._waiting[0])
                self._waiting.popleft()

    # What the reactor wants of somebody who waits until a descriptor can be written to.

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """What Twisted calls this in its own messages."""
        return "journal"

    def doWrite(self) -> None:
        """The journal takes more."""
        self.flush()
        if not self._waiting:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The socket was closed under the reactor: what waits cannot be sent any more."""
        self._reactor.removeWriter(self)
        while self._waiting:
            self._waiting.popleft()
            self._lose(reason.getErrorMessage())


def _field_name(key: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", key.upper())


def encode_entry(fields: Mapping[str, object]) -> bytes:
    """An entry as the journal's native protocol has it."""
    parts = []
    for key, value in fields.items():
        text = f"{value:.1f}" if isinstance(value, float) else str(value)
        data = text.encode("utf-8", errors="backslashreplace")
        if b"\n" in data:
            parts.append(key.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(key.encode() + b"=" + data + b"\n")
    return b"".join(parts)
