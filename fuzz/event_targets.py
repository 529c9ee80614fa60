"""The readers of Windows' events, of files and of messages, on any bytes: an event, a broken one, or a refusal."""

from __future__ import annotations

import contextlib
import os
import tempfile
from datetime import UTC
from pathlib import Path

from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.reading.files import UnknownFormat, read_events
from kmstwist.audit.events.reading.times import Times, check
from kmstwist.audit.products.printed import NoProducts, read_printed
from kmstwist.collecting.framing import MOST, Frames
from kmstwist.collecting.message import read_message

#: 2026-11-01, the readers' now.
NOW = 1_793_491_200_000
_CUTS = (0, 1, 3, 16, 100, 1000)


def fuzz_events(data: bytes) -> None:
    """The first byte says what the rest is: a file, a stream of messages cut into reads, or what slmgr printed."""
    if not data:
        return
    kind, rest = data[0] % 8, data[1:]
    if kind == 0:
        _file(rest)
    elif kind == 7:
        with contextlib.suppress(NoProducts):
            assert read_printed(rest.decode("utf-8", "replace")).names
    else:
        _stream(rest, _CUTS[kind - 1])


def _file(content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        os.write(handle, content)
        with contextlib.suppress(UnknownFormat):
            for raw in read_events(Path(name), now=NOW):
                _event(raw)
    finally:
        os.close(handle)
        os.unlink(name)


def _stream(content: bytes, size: int) -> None:
    frames, times = Frames(), Times(UTC, NOW)
    pieces = [content[at : at + size] for at in range(0, len(content), size)] if size else [content]
    messages = [message for piece in pieces for message in frames.feed(piece)]
    for message in [*messages, frames.end()]:
        assert len(message) <= MOST
        if (raw := read_message(message, "a sender", times)) is not None:
            _event(raw)


def _event(raw: RawEvent | BrokenEvent) -> None:
    if isinstance(raw, BrokenEvent):
        assert raw.why
        assert len(raw.why) < 2000
        return
    # Its mistakes are one kind of exception.
    with contextlib.suppress(ValueError):
        event = understand(raw)
        if event is not None:
            check(event.at, NOW)
            assert len(event.fingerprint) == 16
            for each in (event.hresult, event.required_count, event.minutes_left, event.count, event.record_id):
                assert each is None or -(1 << 63) <= each < 1 << 63
