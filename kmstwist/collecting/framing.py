"""From a stream of bytes to messages: by lines, or by a length in front (RFC 6587 3.4.1); each message's beginning
decides.

Senders differ, and one may change with its configuration: rsyslog counts or ends lines as it is configured to, NXLog
ends JSON with a line end. A count is digits, a space and the `<` of a syslog message; no other message begins like
that.
"""

from __future__ import annotations

import re

#: The most bytes of a message. Windows allows 64 KiB of data in an event; escaping in JSON may double them.
MOST = 256 * 1024

_COUNT = re.compile(rb"([1-9]\d{0,6}) (?=<)")
# If this many bytes are there and do not begin with a count, the message ends with its line.
_DECIDED = 9
_ENDS = re.compile(rb"[\n\0]")


class Frames:
    """Cuts one stream. `too_long` counts messages longer than `most` bytes, which are dropped."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._buffer = bytearray()
        # Where in the buffer no end is to be looked for again.
        self._looked = 0
        # Bytes of a counted message, or all to the next line end (-1), that are thrown away.
        self._skip = 0
        self.too_long = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the messages that are whole by now."""
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
        """The rest when the stream ends: a last line without its line end; "" for part of a counted message."""
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
