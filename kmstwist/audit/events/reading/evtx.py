"""Events in EVTX, the event log's own format, read by the `evtx` package (the extra `events`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.reading.xml import parse_event
from kmstwist.problem import ProblemError
from kmstwist.system.extras import install_command
from kmstwist.system.rights import rights_for_named

# A file is a header and whole chunks of events.
HEADER, CHUNK = 4096, 65536


class EvtxMissing(ProblemError):
    """The package that reads EVTX is not installed."""


def read_evtx(path: Path) -> Iterator[RawEvent | BrokenEvent]:
    """The events of an EVTX file, in order. Raises EvtxMissing."""
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise EvtxMissing("reading EVTX needs the evtx package", install_command("events")) from error
    try:
        with rights_for_named(path):
            records = PyEvtxParser(str(path), number_of_threads=1).records()
    except (RuntimeError, OSError) as error:
        yield BrokenEvent("the file's header", f"it is not whole ({_one_line(error)}); copy the file again")
        return
    number = 0
    while True:
        number += 1
        try:
            record: Any = next(records)
        except StopIteration:
            break
        except RuntimeError as error:
            # The parser goes on behind what it could not read.
            yield BrokenEvent(f"event {number}", _one_line(error))
            continue
        yield parse_event(_without_declaration(record["data"]), f"event {record['event_record_id']}")

    # The parser skips a last chunk that is incomplete.
    with rights_for_named(path):
        size = path.stat().st_size
    if cut := (size - HEADER) % CHUNK:
        yield BrokenEvent("the file's end", f"the last {CHUNK} bytes are cut off to {cut}; copy the file again")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _without_declaration(xml: str) -> str:
    return xml[xml.index("?>") + 2 :] if xml.startswith("<?xml") and "?>" in xml else xml
