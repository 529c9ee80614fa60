"""Importing files of events: each event once, however often its file is imported, each joined to its record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from kmstwist.audit import schema
from kmstwist.audit.bulk import insert_for
from kmstwist.audit.engine import writing
from kmstwist.audit.events.files import read_events
from kmstwist.audit.events.join import WINDOW, Joiner, Resolver
from kmstwist.audit.events.model import (
    CLIENT_EVENTS,
    REQUEST_ANSWERED,
    BrokenEvent,
    Event,
    EventError,
    RawEvent,
    understand,
)
from kmstwist.audit.privacy import Privacy

# Few, so that a running server's commits wait for a moment at most.
BATCH = 50
# How many of a file's broken events are kept to be shown; all are counted.
BROKEN_SHOWN = 20


@dataclass(slots=True)
class ImportResult:
    """What came of a file.

    `imported` events are new, `known` ones were there already, `other` ones are not KMS's; `joined` found their
    record, out of `joinable` (the 12290s among the new ones). `broken` counts those that could not be read, of which
    `shown` are the first.
    """

    path: Path
    imported: int = 0
    known: int = 0
    other: int = 0
    joinable: int = 0
    joined: int = 0
    broken: int = 0
    shown: list[BrokenEvent] = field(default_factory=list)

    def break_at(self, broken: BrokenEvent) -> None:
        """Count an event that could not be read."""
        self.broken += 1
        if len(self.shown) < BROKEN_SHOWN:
            self.shown.append(broken)


class Importer:
    """Imports files into a store; `resolve` gives the addresses of a machine's name, `zone` is that of CSV's times."""

    def __init__(
        self, engine: Engine, privacy: Privacy, resolve: Resolver, *, zone: tzinfo = UTC, window: int = WINDOW
    ) -> None:
        self._engine = engine
        self._privacy = privacy
        self._joiner = Joiner(privacy, resolve, window=window)
        self._zone = zone

    def import_file(self, path: Path, progress: Callable[[int], None] | None = None) -> ImportResult:
        """Import a file; blocks. Raises UnknownFormat, EvtxMissing, OSError, and SQLAlchemy's errors.

        `progress` is told the bytes read so far. What was imported before an error stays; importing again completes it.
        """
        result = ImportResult(path)
        events = self._understood(read_events(path, zone=self._zone, progress=progress), result)
        while batch := list(islice(events, BATCH)):
            for event in batch:
                self._joiner.look_up(event)
            self._store(batch, result)
        return result

    def _understood(self, events: Iterable[RawEvent | BrokenEvent], result: ImportResult) -> Iterator[Event]:
        for raw in events:
            if isinstance(raw, BrokenEvent):
                result.break_at(raw)
                continue
            try:
                event = understand(raw)
            except EventError as error:
                result.break_at(BrokenEvent(raw.place, str(error)))
                continue
            if event is None:
                result.other += 1
            else:
                yield event

    def _store(self, batch: list[Event], result: ImportResult) -> None:
        insert = insert_for(self._engine.dialect.name, schema.events)
        statement = insert.on_conflict_do_nothing(index_elements=["fingerprint"]).returning(schema.events.c.fingerprint)
        with writing(self._engine) as connection:
            stored = {bytes(row[0]) for row in connection.execute(statement, [self._row(event) for event in batch])}
            # An event twice in one batch was stored once.
            new = {event.fingerprint: event for event in batch if event.fingerprint in stored}
            result.imported += len(new)
            result.known += len(batch) - len(new)
            for event in new.values():
                result.joinable += event.event_id == REQUEST_ANSWERED
                result.joined += self._joiner.join(connection, event)

    def _row(self, event: Event) -> dict[str, Any]:
        # The fingerprint is taken of the event as it is: a changed policy must not make it another one.
        stored = replace(
            event,
            machine=self._privacy.machine(event.machine),
            cmid=self._privacy.cmid(event.cmid),
            # A client's own events are logged by the machine they are about.
            computer=(self._privacy.machine(event.computer) or "")
            if event.event_id in CLIENT_EVENTS
            else event.computer,
        )
        return {
            "fingerprint": event.fingerprint,
            "event_id": stored.event_id,
            "computer": stored.computer,
            "event_record_id": stored.record_id,
            "at": stored.at,
            "hresult": stored.hresult,
            "machine": stored.machine,
            "cmid": stored.cmid,
            "act_id": stored.act_id,
            "license_status": stored.license_status,
            "virtual_machine": None if stored.virtual_machine is None else int(stored.virtual_machine),
            "minutes_left": stored.minutes_left,
            "required_count": stored.required_count,
            "count": stored.count,
            "client_time": stored.client_time,
            "target": stored.target,
        }
