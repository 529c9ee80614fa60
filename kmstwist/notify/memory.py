"""The state kept over a restart: what was told, and what waits to be sent. One small file in the state folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from kmstwist.notify.ledger import Ledger
from kmstwist.notify.outbox import Outbox
from kmstwist.system.wholefile import write_whole

FILE_NAME = "notify.json"
#: The most bytes that we read of the file; ours is never larger.
_LARGEST = 16 << 20


class MemoryFault(Exception):
    """The file cannot be read or written; the text says why."""


@dataclass(slots=True)
class Memory:
    """All that is kept."""

    ledger: Ledger
    outbox: Outbox = field(default_factory=Outbox)

    def to_text(self) -> str:
        """As it stands in the file."""
        return json.dumps({"version": 1, "ledger": self.ledger.to_json(), "outbox": self.outbox.to_json()})


def read_memory(path: Path, settle: float) -> Memory:
    """The stored memory; an empty one without a file. Raises `MemoryFault` for a file that is not ours."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return Memory(Ledger(settle))
    except OSError as error:
        raise MemoryFault(error.strerror or str(error)) from None
    try:
        raw = json.loads(content)
        if raw["version"] != 1:
            raise ValueError("written by another version")
        return Memory(Ledger.from_json(raw["ledger"], settle), Outbox.from_json(raw["outbox"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MemoryFault(f"not a memory of ours: {error}") from None


def write_memory(path: Path, text: str) -> None:
    """Write the file, whole or not at all, for our user alone. Raises `MemoryFault`."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise MemoryFault(error.strerror or str(error)) from None
