"""Log lines to systemd's journal with their fields, so that `journalctl KMS_REASON=upstream-timeout` finds them.

The journal's native protocol (systemd's "Native Journal Protocol") is one datagram an entry: `FIELD=value` lines, or
for a value with a line break the name, its length in eight bytes and the value. No library is needed, and none is in
the way where there is no systemd.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel

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


def writes_to_journal(environ: Mapping[str, str] | None = None, descriptor: int | None = None) -> bool:
    """Whether standard output is the journal's stream, as systemd says in `JOURNAL_STREAM` (systemd.exec(5))."""
    stream = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        state = os.fstat(sys.stdout.fileno() if descriptor is None else descriptor)
    except (OSError, ValueError):
        return False
    return stream == f"{state.st_dev}:{state.st_ino}"


class Journal:
    """Sends entries to the journal's socket."""

    def __init__(self, identifier: str, path: Path = JOURNAL_SOCKET) -> None:
        """`identifier` is what `journalctl -t` selects by. Raises `OSError` where there is no journal at `path`."""
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self.lost = 0

    def send(self, message: str, level: Any, name: str, fields: Mapping[str, object]) -> None:
        """Send one entry; one that the journal cannot take is counted in `lost`."""
        head = {"MESSAGE": message, "PRIORITY": _PRIORITY[level], "SYSLOG_IDENTIFIER": self._identifier}
        own = {f"KMS_{_field_name(key)}": value for key, value in fields.items() if value is not None and value != ""}
        try:
            self._socket.send(encode_entry({**head, "KMS_EVENT": name, **own}))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                self.lost += 1
                return
            self._socket.send(encode_entry({**head, "MESSAGE": message[:_SHORT], "KMS_EVENT": name}))


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
