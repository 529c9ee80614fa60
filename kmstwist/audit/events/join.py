"""Joining a KMS host's event 12290 to the gateway's record of the same request, so that the record gets its facts.

The event knows the machine's name, the record its address. Where DNS turns the one into the other, the record is the
one from that address, of the same status, nearest in time. Where DNS does not know the name, the record is taken only
if there is no doubt: the only one of that status within the window, and the event the only one too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from sqlalchemy import Connection, Row, and_, func, select

from kmstwist.audit import schema
from kmstwist.audit.events.model import REQUEST_ANSWERED, Event
from kmstwist.audit.identity import machine_key
from kmstwist.audit.privacy import Keep, Privacy
from kmstwist.audit.records import Record, first_id_at
from kmstwist.audit.store import from_row
from kmstwist.audit.summaries import HOUR_MS, Summary, merge, outcome

# How far the two clocks may be apart, in milliseconds: members of a domain keep within 5 minutes, most within a second.
WINDOW = 10_000

# The addresses of a machine's name; empty if DNS does not know it.
Resolver = Callable[[str], Sequence[str]]


class Join(Enum):
    """What came of trying to join an event: DOUBTFUL may come to be DONE once other events have found their record."""

    DONE = "done"
    DOUBTFUL = "doubtful"
    NO_RECORD = "no record"


class Joiner:
    """Joins events to the records of a store. `window` is the most the clocks may differ, in milliseconds."""

    def __init__(self, privacy: Privacy, resolve: Resolver, *, window: int = WINDOW) -> None:
        self._privacy = privacy
        self._resolve = resolve
        self._window = window
        self._addresses: dict[str, Sequence[str]] = {}

    def look_up(self, event: Event) -> None:
        """Ask DNS for the event's machine, unless it was asked before. Not to be done while the store is locked."""
        if event.machine and event.machine not in self._addresses:
            self._addresses[event.machine] = self._resolve(event.machine)

    def knows(self, event: Event) -> bool:
        """Whether DNS, asked before, knows the event's machine."""
        return bool(self._addresses.get(event.machine or ""))

    def join(self, connection: Connection, event: Event) -> Join:
        """Join an event 12290 that is already stored, with all others that are about its time, and was not joined."""
        found, sure = self._find(connection, event)
        if found is None:
            return Join.NO_RECORD
        if not sure:
            return Join.DOUBTFUL
        record = from_row(found)
        known = replace(
            record,
            machine=self._privacy.machine(event.machine),
            cmid=self._privacy.cmid(event.cmid),
            act_id=event.act_id,
            license_status=event.license_status,
            virtual_machine=event.virtual_machine,
            minutes_left=event.minutes_left,
            required_count=event.required_count,
        )
        _write_facts(connection, known)
        _withdraw(connection, record)
        summary = Summary()
        summary.add_machine(known)
        if known.machine is not None and not record.granted:
            _withdraw_failure(connection, record)
            summary.add_failure(known)
        merge(connection, summary)
        events = schema.events
        connection.execute(
            events.update().where(events.c.fingerprint == event.fingerprint).values(record_id=record.record_id)
        )
        return Join.DONE

    def _find(self, connection: Connection, event: Event) -> tuple[Row[tuple[object, ...]] | None, bool]:
        """The record that is the likeliest, if there is any, and whether it is sure."""
        table = schema.records
        around = (
            table.c.record_id >= first_id_at(event.at - self._window),
            table.c.record_id < first_id_at(event.at + self._window + 1),
            table.c.version.is_not(None),
            table.c.act_id.is_(None),
            table.c.hresult == event.hresult,
        )
        addresses = [self._privacy.client(each) for each in self._addresses.get(event.machine or "", ())]
        if addresses:
            nearest = func.abs(table.c.at - event.at)
            found = connection.execute(
                select(table).where(*around, table.c.client.in_(addresses)).order_by(nearest, table.c.seq).limit(2)
            ).all()
            # A shortened address is many machines'.
            sure = self._privacy.policy.client is not Keep.TRUNCATE or len(found) == 1
        else:
            found = connection.execute(select(table).where(*around).limit(2)).all()
            sure = len(found) == 1 and self._is_alone(connection, event)
        return (found[0], sure) if found else (None, False)

    def _is_alone(self, connection: Connection, event: Event) -> bool:
        """No other event that is still without a record could be about the same one."""
        events = schema.events
        others = connection.scalar(
            select(func.count()).where(
                events.c.event_id == REQUEST_ANSWERED,
                events.c.record_id.is_(None),
                events.c.hresult == event.hresult,
                events.c.at.between(event.at - 2 * self._window, event.at + 2 * self._window),
                events.c.fingerprint != event.fingerprint,
            )
        )
        return others == 0


def _write_facts(connection: Connection, record: Record) -> None:
    table = schema.records
    connection.execute(
        table.update()
        .where(table.c.record_id == record.record_id)
        .values(
            machine=record.machine,
            cmid=record.cmid,
            act_id=record.act_id,
            license_status=record.license_status,
            virtual_machine=None if record.virtual_machine is None else int(record.virtual_machine),
            minutes_left=record.minutes_left,
            required_count=record.required_count,
        )
    )


def _withdraw(connection: Connection, record: Record) -> None:
    """Take a record that has been named out of the row that stood for its address."""
    machines, records = schema.machines, schema.records
    row = (machines.c.machine == machine_key(None, record.client)) & (machines.c.app == "") & (machines.c.slot == "")
    connection.execute(
        machines.update()
        .where(row)
        .values(calls=machines.c.calls - 1, successes=machines.c.successes - int(record.granted))
    )
    if connection.execute(machines.delete().where(row, machines.c.calls <= 0)).rowcount:
        return
    left = (records.c.client == record.client) & records.c.version.is_not(None) & records.c.act_id.is_(None)
    first, last, success, answered = connection.execute(
        select(
            func.min(records.c.at),
            func.max(records.c.at),
            func.max(records.c.at).filter(records.c.hresult == 0),
            # A call without a status was seen by no KMS host.
            func.max(records.c.at).filter(records.c.hresult.is_not(None)),
        ).where(left)
    ).one()
    if last is None:
        # The others were made before the oldest record that is kept; what the row says of them stands.
        return
    latest = from_row(
        connection.execute(
            select(records).where(left).order_by(records.c.at.desc(), records.c.seq.desc()).limit(1)
        ).one()
    )
    connection.execute(
        machines.update()
        .where(row)
        .values(
            first_seen=func.coalesce(first, machines.c.first_seen),
            last_seen=last,
            last_success=success,
            last_answered=answered,
            last_reason=str(latest.reason),
            last_status=0 if latest.granted else outcome(latest)[1],
            upstream=latest.upstream,
            version=latest.version,
        )
    )


def _withdraw_failure(connection: Connection, record: Record) -> None:
    """Take a record that has been named out of the failures of its address that name no machine."""
    table, records = schema.hourly_failures, schema.records
    kind, status = outcome(record)
    hour = record.at // HOUR_MS
    row = and_(
        table.c.hour == hour,
        table.c.client == record.client,
        table.c.reason == str(record.reason),
        table.c.kind == kind,
        table.c.status == status,
        table.c.machine == "",
    )
    connection.execute(table.update().where(row).values(calls=table.c.calls - 1))
    if connection.execute(table.delete().where(row, table.c.calls <= 0)).rowcount:
        return
    left = and_(
        records.c.client == record.client,
        records.c.at.between(hour * HOUR_MS, (hour + 1) * HOUR_MS - 1),
        records.c.reason == str(record.reason),
        # A joined record has the event's status, so it is no fault.
        records.c.hresult == status,
        records.c.machine.is_(None),
    )
    first, last = connection.execute(select(func.min(records.c.at), func.max(records.c.at)).where(left)).one()
    if last is None:
        # The others' records are kept no longer; what the row says of them stands.
        return
    upstream = connection.scalar(
        select(records.c.upstream).where(left).order_by(records.c.at.desc(), records.c.seq.desc()).limit(1)
    )
    connection.execute(table.update().where(row).values(first_at=first, last_at=last, upstream=upstream or ""))
