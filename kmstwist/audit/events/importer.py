"""Importing files of events: each event once, however often its file is imported, and each joined to its record.

All of a file's events are stored before the first is joined: only the events around it show whether there is doubt
about one, and a file may have them in any order. Those that may be joined wait in a temporary file, with the names that
are looked up in DNS, since the store may have only their hashes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmstwist.audit.asking.prepared import do, do_for_each, rows, value
from kmstwist.audit.asking.transactions import reading, writing
from kmstwist.audit.events.clocks import MOST, clocks_apart
from kmstwist.audit.events.identity import Known, find, known_events
from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.join import WINDOW, Join, Joiner, Resolver
from kmstwist.audit.events.model import CLIENT_EVENTS, REQUEST_ANSWERED, BrokenEvent, Event, RawEvent
from kmstwist.audit.events.reading.files import read_events
from kmstwist.audit.events.reading.times import check
from kmstwist.audit.events.spool import Spool
from kmstwist.audit.events.unmatched import GatewayTimes, Told, add, count_alone, record_of, uncount
from kmstwist.audit.privacy import Privacy
from kmstwist.audit.records import Record
from kmstwist.system.rights import rights_for_named

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

# Few events in a batch, so that a running server's commits wait at most half a second. Not fewer, since each commit
# waits for the disk and writes a page for nearly every event: their fingerprints are spread over their index.
BATCH = 4000
# Fewer where events are joined: for each, the sums may have to search one machine's records, 1 ms in a million of them.
JOINED = 100
# How many of a file's broken events are kept to be shown; all are counted.
BROKEN_SHOWN = 20


@dataclass(slots=True)
class ImportResult:
    """The result of importing a file.

    `imported` events are new, `known` ones were there already, `other` ones are not KMS's; `joined` found a gateway's
    record, out of `joinable` (the 12290s that had none before), and `alone` are counted from the event, because no
    gateway has their request. `broken` counts those that could not be read; `shown` are the first of them. `apart` is
    how many seconds the host's clock seems to be ahead of the gateways', if that may be why requests were not joined.
    """

    path: Path
    imported: int = 0
    known: int = 0
    other: int = 0
    joinable: int = 0
    joined: int = 0
    alone: int = 0
    broken: int = 0
    shown: list[BrokenEvent] = field(default_factory=list)
    apart: int | None = None

    def break_at(self, broken: BrokenEvent) -> None:
        """Count an event that could not be read."""
        self.broken += 1
        if len(self.shown) < BROKEN_SHOWN:
            self.shown.append(broken)


class Importer:
    """Imports files into a store.

    `resolve` returns the addresses of a machine's name, `zone` is the zone of times without one, and `now` returns the
    time in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        privacy: Privacy,
        resolve: Resolver,
        *,
        zone: tzinfo = UTC,
        window: int = WINDOW,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._into = store
        self._privacy = privacy
        self._joiner = Joiner(privacy, resolve, window=window)
        self._zone = zone
        self._now = now
        # The latest of the records made from events alone.
        self._alone: deque[Event] = deque(maxlen=MOST)
        # Whether the store had any before the import.
        self._had_events = True

    def import_file(self, path: Path, progress: Callable[[int], None] | None = None) -> ImportResult:
        """Import a file; blocks. Raises UnknownFormat, EvtxMissing, OSError, and the store's errors.

        `progress` is told how far it is, in bytes of the file: the first half of it is reading, the second joining.
        What was imported before an error stays; importing again completes it, joining included.
        """
        result = ImportResult(path)
        with rights_for_named(path):
            half = path.stat().st_size // 2

        def read(so_far: int) -> None:
            if progress is not None:
                progress(so_far // 2)

        def joined(share: float) -> None:
            if progress is not None:
                progress(half + int(half * share))

        now = int(self._now() * 1000)
        self._alone.clear()
        self.take_in(read_events(path, zone=self._zone, now=now, progress=read), result, joined)
        if self._alone:
            with reading(self._into) as connection:
                apart = clocks_apart(connection, self._alone)
            result.apart = None if apart is None or abs(apart) * 1000 <= self._joiner.window else apart
        return result

    def take_in(
        self,
        raw: Iterable[RawEvent | BrokenEvent],
        result: ImportResult,
        progress: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Import events from any source, counting in `result`; blocks. Raises the store's errors.

        `progress` is called with the part of them that is joined, from 0 to 1.
        """
        with reading(self._into) as connection:
            self._had_events = value(connection, "an event") is not None
        with closing(Spool()) as waiting:
            events = self._understood(raw, int(self._now() * 1000), result)
            while batch := list(islice(events, BATCH)):
                self._store(batch, waiting, result)
            self._join_all(waiting, result, progress)

    def _understood(self, events: Iterable[RawEvent | BrokenEvent], now: int, result: ImportResult) -> Iterator[Event]:
        for raw in events:
            if isinstance(raw, BrokenEvent):
                result.break_at(raw)
                continue
            try:
                event = understand(raw)
                if event is not None:
                    check(event.at, now)
            except ValueError as error:
                result.break_at(BrokenEvent(raw.place, str(error)))
                continue
            if event is None:
                result.other += 1
            else:
                yield event

    def _store(self, batch: list[Event], waiting: Spool, result: ImportResult) -> None:
        with writing(self._into) as connection:
            known = known_events(connection, batch, first=self._had_events)
            gateways = self._gateway_times(connection, batch)
            fresh: list[dict[str, Any]] = []
            records: list[Record] = []
            alone: list[Told] = []
            for event in batch:
                stored = self._find(known, event)
                row: dict[str, Any] | None = None
                completed = False
                if stored is None:
                    row = self._row(event)
                    fresh.append(row)
                    stored = Known(event.fingerprint, row["computer"], event.record_id, event.at)
                    known[event.facts].append(stored)
                    result.imported += 1
                else:
                    completed = self._complete(connection, stored, event)
                    result.known += 1
                # An event that is in the file twice waits already.
                if event.event_id != REQUEST_ANSWERED or stored.met:
                    continue
                told = Told(stored.fingerprint, stored.at, stored.computer, stored.record_id, event)
                if told.record_id is not None and not told.has_own:
                    continue
                stored.met = True
                result.joinable += 1
                if gateways.any_within(event.at - self._joiner.window, event.at + self._joiner.window):
                    waiting.put(stored.fingerprint, event)
                    continue
                self._alone.append(event)
                if row is None:
                    if completed or not told.has_own:
                        alone.append(told)
                    else:
                        result.alone += 1
                elif (record := record_of(told, self._privacy)) is not None:
                    row["record_id"] = record.record_id
                    records.append(record)
            do_for_each(connection, "add events", fresh)
            add(connection, records)
            result.alone += len(records) + count_alone(connection, alone, self._privacy)

    def _gateway_times(self, connection: Reader, batch: list[Event]) -> GatewayTimes:
        times = [event.at for event in batch if event.event_id == REQUEST_ANSWERED] or [0]
        return GatewayTimes(connection, min(times) - self._joiner.window, max(times) + self._joiner.window)

    def _find(self, known: dict[bytes, list[Known]], event: Event) -> Known | None:
        if self._had_events and (old := known.get(event.first_fingerprint)) is not None:
            return old[0]
        alike = known.get(event.facts)
        return find(alike, event, self._computer(event)) if alike else None

    def _complete(self, connection: Reader, stored: Known, event: Event) -> bool:
        """Add to a stored event what its first format left out and this one has. Returns whether there was anything."""
        computer = self._computer(event) if not stored.computer else stored.computer
        number = event.record_id if stored.number is None else stored.number
        if (computer, number) == (stored.computer, stored.number):
            return False
        told = {"this": stored.fingerprint, "new_computer": computer, "new_event_record_id": number}
        if event.event_id in CLIENT_EVENTS:
            do(connection, "complete a client's event", told | {"new_machine": self._privacy.machine(event.machine)})
        else:
            do(connection, "complete an event", told)
        stored.computer, stored.number = computer, number
        return True

    def _computer(self, event: Event) -> str:
        # A client's own events are logged by the machine that they are about.
        return (self._privacy.machine(event.computer) or "") if event.event_id in CLIENT_EVENTS else event.computer

    def _join_all(self, waiting: Spool, result: ImportResult, progress: Callable[[float], None]) -> None:
        """Join the events that wait, in rounds: an event that finds its record may end the doubt about others.

        So no event is left that importing the file again would join. Events whose machines DNS knows come first: few
        others can cast doubt on them. At the end, events without a gateway's record get records of their own.
        """
        with ExitStack() as files:
            named, done = True, 0
            left = files.enter_context(closing(Spool()))
            while waiting.number:
                doubtful = files.enter_context(closing(Spool()))
                before = result.joined
                while batch := waiting.take(JOINED):
                    if named and self._joiner.has_records(self._into, [event for _, event in batch]):
                        for _, event in batch:
                            self._joiner.look_up(event)
                    self._join(batch, doubtful, left, result, named=named)
                    done += len(batch)
                    # Only the first round is certain; nobody knows how many there will be.
                    progress(min(1.0, done / waiting.number) if named else 1.0)
                waiting.close()
                waiting = doubtful
                if not named and result.joined == before:
                    break
                named = False
            for rest in (left, waiting):
                while batch := rest.take(BATCH):
                    self._count_alone(batch, result)

    def _join(
        self,
        batch: list[tuple[bytes, Event]],
        doubtful: Spool,
        left: Spool,
        result: ImportResult,
        *,
        named: bool,
    ) -> None:
        with writing(self._into) as connection:
            # An event may have found its record in another process's import.
            for told in _without_gateway(connection, batch):
                event = told.event
                if named and not self._joiner.knows(event):
                    doubtful.put(told.fingerprint, event)
                    continue
                match self._joiner.join(connection, event, told.fingerprint):
                    case Join.DONE:
                        uncount(connection, told)
                        result.joined += 1
                    case Join.DOUBTFUL:
                        doubtful.put(told.fingerprint, event)
                    case Join.NO_RECORD:
                        left.put(told.fingerprint, event)

    def _count_alone(self, batch: list[tuple[bytes, Event]], result: ImportResult) -> None:
        with writing(self._into) as connection:
            alone = []
            for told in _without_gateway(connection, batch):
                if self._joiner.may_have(connection, told.event):
                    uncount(connection, told)
                else:
                    alone.append(told)
                    self._alone.append(told.event)
            result.alone += count_alone(connection, alone, self._privacy)

    def _row(self, event: Event) -> dict[str, Any]:
        # The fingerprint is computed from the original event: a changed policy must not change it.
        return {
            "fingerprint": event.fingerprint,
            "event_id": event.event_id,
            "computer": self._computer(event),
            "event_record_id": event.record_id,
            "at": event.at,
            "hresult": event.hresult,
            "machine": self._privacy.machine(event.machine),
            "cmid": self._privacy.cmid(event.cmid),
            "act_id": event.act_id,
            "license_status": event.license_status,
            "virtual_machine": None if event.virtual_machine is None else int(event.virtual_machine),
            "minutes_left": event.minutes_left,
            "required_count": event.required_count,
            "count": event.count,
            "client_time": event.client_time,
            "target": event.target,
            "record_id": None,
        }


def _without_gateway(connection: Reader, batch: list[tuple[bytes, Event]]) -> list[Told]:
    """Those of a batch of stored events that are not joined to a gateway's record."""
    wanted = dict(batch)
    stored = rows(connection, "joined events", {"fingerprints": list(wanted)})
    found = {bytes(fingerprint): (at, computer, record_id) for fingerprint, at, computer, record_id in stored}
    events = []
    for fingerprint, event in wanted.items():
        if fingerprint not in found:
            continue
        at, computer, record_id = found[fingerprint]
        told = Told(fingerprint, at, computer, None if record_id is None else bytes(record_id), event)
        if told.record_id is None or told.has_own:
            events.append(told)
    return events
