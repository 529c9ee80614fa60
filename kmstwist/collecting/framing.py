"""From a stream of bytes to messages: by lines, or by their counted length (RFC 6587 3.4.1), as each message begins.

Senders differ, and one may change with its configuration: rsyslog counts or ends lines as it is told to, NXLog ends
JSON with a line end. A count is digits, a space and the `<` of a syslog message; no other message begins so.
"""

from __future__ import annotations

import re

#: The longest message in bytes. Windows allows an event 64 KiB of data; JSON may double what it escapes.
MOST = 256 * 1024

_COUNT = re.compile(rb"([1-9]\d{0,6}) (?=<)")
# A message of which this much is there and that does not begin with a count ends with its line.
_DECIDED = 9
_ENDS = re.compile(rb"[\n\0]")


class Frames:
    """Cuts one stream. `too_long` counts messages that were longer than `MOST`, and are left out."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._buffer = bytearray()
        # Where in the buffer no end is to be looked for again.
        self._looked = 0
        # Bytes of a counted message, or all to the next line end (-1), that are thrown away.
        self._skip = 0
        self.too_long = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came, and give the messages that are whole by now."""
        self._buffer += data
        found: list[bytes] = []
        at = 0
        while (step := self._next(at)) is not None:
            message, at = step
            self._looked = at
            if message:
                found.append(message)
        del self._buffer[:at]
        self._looked = max(0, self._looked - at)
        return found

    def end(self) -> bytes:
        """What is left when the stream ends: a last line without its end; "" for a part of a counted message."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._looked = 0
        return b"" if self._skip or _COUNT.match(rest) else rest.strip()

    def _next(self, at: int) -> tuple[bytes, int] | None:
        """The next message that begins at a place, and where the one after it does; None if it is not whole yet."""
        buffer = self._buffer
        size = len(buffer) - at
        if self._skip > 0:
            gone = min(self._skip, size)
            self._skip -= gone
            return (b"", at + gone) if gone else None
        if self._skip < 0:
            end = _ENDS.search(buffer, at)
            if end is None:
                return (b"", len(buffer)) if size else None
            self._skip = 0
            return b"", end.end()
        if not size:
            return None
        counted = _COUNT.match(buffer, at)
        if counted is not None:
            begin, length = counted.end(), int(counted[1])
            if length > self._most:
                self.too_long += 1
                self._skip = length
                return b"", begin
            return None if len(buffer) - begin < length else (bytes(buffer[begin : begin + length]), begin + length)
        if size < _DECIDED and bytes(buffer[at:]).isdigit():
            return None
        end = _ENDS.search(buffer, max(at, self._looked))
        if end is not None and end.start() - at > self._most:
            self.too_long += 1
            return b"", end.end()
        if end is not None:
            return bytes(buffer[at : end.start()]).strip(), end.end()
        self._looked = len(buffer)
        if size > self._most:
            self.too_long += 1
            self._skip = -1
            return b"", len(buffer)
        return None
