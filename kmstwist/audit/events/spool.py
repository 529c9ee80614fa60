"""Events that wait to be joined, in a temporary file: there may be a hundred thousand of them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields
from itertools import islice
from operator import attrgetter

from kmstwist.audit.events.model import Event

# Bytes of waiting events that are held in memory and not in a file.
IN_MEMORY = 8 << 20

# The fields of an event, in the order of its constructor.
_values = attrgetter(*(field.name for field in fields(Event)))


class Spool:
    """Events that wait to be joined, in the order they were put; each is taken once."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - whoever makes one of these closes it
        self.number = 0
        self._begun = False

    def put(self, fingerprint: bytes, event: Event) -> None:
        """Add an event that is stored under this fingerprint."""
        self._file.write(json.dumps([fingerprint.hex(), _values(event)]).encode() + b"\n")
        self.number += 1

    def take(self, most: int) -> list[tuple[bytes, Event]]:
        """The next events, at most `most` of them. Call `put` no more after the first `take`."""
        if not self._begun:
            self._file.seek(0)
            self._begun = True
        rows = (json.loads(line) for line in islice(self._file, most))
        return [(bytes.fromhex(fingerprint), Event(*values)) for fingerprint, values in rows]

    def close(self) -> None:
        """Delete the file and its events."""
        self._file.close()
