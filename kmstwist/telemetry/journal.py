"""Log lines to systemd's journal with their fields, so that `journalctl KMS_REASON=upstream-timeout` finds them.

In the journal's native protocol (systemd's "Native Journal Protocol") an entry is one datagram: `FIELD=value` lines, or
for a value with a line break, the name, the length in eight bytes and the value. It needs no library, so kmstwist also
runs without systemd.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from twisted.logger import Logger, LogLevel

from kmstwist.reactor import Reactor
from kmstwist.telemetry import outlets
from kmstwist.telemetry.lines import Level
from kmstwist.telemetry.outlets import SocketOutlet

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
_PRIORITY = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}
#: How many characters of the message are sent if the whole entry is too large for a datagram.
_SHORT = 32_000
#: How many bytes of an entry always fit in a datagram: half of a socket's send buffer on Linux (`wmem_default`).
_LARGE = 100_000
#: How many entries may wait while the journal is slower than the clients.
WAITING = outlets.WAITING


def writes_to_journal(environ: Mapping[str, str] | None = None, descriptor: int | None = None) -> bool:
    """Whether standard output is the journal's stream, as systemd says in `JOURNAL_STREAM` (systemd.exec(5))."""
    stream = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        state = os.fstat(sys.stdout.fileno() if descriptor is None else descriptor)
    except (OSError, ValueError):
        return False
    return stream == f"{state.st_dev}:{state.st_ino}"


class Journal(SocketOutlet):
    """Sends entries to the journal's socket, and never waits for it.

    While the journal is slower than the clients, entries wait here, up to `WAITING` of them, and are sent as soon as it
    takes more; beyond that they are lost, and counted.
    """

    def __init__(
        self, identifier: str, reactor: Reactor, path: Path = JOURNAL_SOCKET, log: Logger | None = None
    ) -> None:
        """`identifier` is what `journalctl -t` selects by. Raises `OSError` if there is no journal at `path`."""
        super().__init__(path, reactor, "the journal", log)
        self.connect()
        self._identifier = identifier

    @property
    def room(self) -> int:
        """How many entries may wait."""
        return WAITING

    def send(self, message: str, level: Level, name: str, fields: Mapping[str, object]) -> None:
        """Send one entry, or let it wait its turn. An entry too large for a datagram keeps only its message."""
        head = {"MESSAGE": message, "PRIORITY": _PRIORITY[level], "SYSLOG_IDENTIFIER": self._identifier}
        own = {_field_name(key): value for key, value in fields.items() if value is not None and value != ""}
        entry = encode_entry({**head, "KMS_EVENT": name, **own})
        if len(entry) > _LARGE:
            entry = encode_entry({**head, "MESSAGE": message[:_SHORT], "KMS_EVENT": name})
        self.put(entry)


# The fields of all events are a few hundred names.
@lru_cache(maxsize=1024)
def _field_name(key: str) -> str:
    return "KMS_" + re.sub(r"[^A-Z0-9_]", "_", key.upper())


def encode_entry(fields: Mapping[str, object]) -> bytes:
    """An entry in the journal's native protocol."""
    entry, lines = b"", ""
    for key, value in fields.items():
        text = value if type(value) is str else f"{value:.1f}" if isinstance(value, float) else str(value)
        if "\n" in text:
            data = _encoded(text)
            entry += _encoded(f"{lines}{key}\n") + struct.pack("<Q", len(data)) + data + b"\n"
            lines = ""
        else:
            lines += f"{key}={text}\n"
    return entry + _encoded(lines)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")
