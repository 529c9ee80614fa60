"""Requests that only the KMS host's events report: each gets its own record, so that every report includes it.

A site may have no gateway yet, or machines that ask its host directly. Such a record names no gateway and no address;
its id is computed from the event, so that the same event makes the same record. If a gateway's record may be about the
same request, no such record is made, so that a request counts once; if the gateway's record turns up later, the other
one is removed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from kmstwist.audit import schema
from kmstwist.audit.bulk import execute_many, insert_for, present
from kmstwist.audit.events.model import Event
from kmstwist.audit.privacy import Privacy
from kmstwist.audit.records import FROM_EVENT, NO_GATEWAY, Record, first_id_at
from kmstwist.audit.rows import from_row, to_row
from kmstwist.audit.sums import all as sums
from kmstwist.reasons import Reason

#: The most times of gateways' calls that are held in memory, for one batch of events.
MOST_TIMES = 50_000


@dataclass(frozen=True, slots=True)
class Told:
    """An event 12290 in the store: its fingerprint, what it says, and the record that it belongs to."""

    fingerprint: bytes
    at: int
    computer: str
    record_id: bytes | None
    event: Event

    @property
    def own_id(self) -> bytes:
        """The id of the record made from this event if nothing else is known of its request: a UUID of version 7."""
        entropy = int.from_bytes(hashlib.blake2b(self.fingerprint, digest_size=10).digest(), "big")
        value = (self.at & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (entropy >> 68) << 64
        return (value | 0b10 << 62 | entropy & ((1 << 62) - 1)).to_bytes(16, "big")

    @property
    def has_own(self) -> bool:
        """Whether its record is the one made from it."""
        return self.record_id is not None and self.record_id == self.own_id


def record_of(told: Told, privacy: Privacy) -> Record | None:
    """The record of a request that only an event reports.

    None if machines' names are not kept: nothing would distinguish the machines.
    """
    event = told.event
    machine = privacy.machine(event.machine)
    if machine is None:
        return None
    return Record(
        told.own_id,
        told.at,
        NO_GATEWAY,
        "",
        Reason.OK,
        version=FROM_EVENT,
        upstream=told.computer or None,
        hresult=event.hresult,
        machine=machine,
        cmid=privacy.cmid(event.cmid),
        act_id=event.act_id,
        license_status=event.license_status,
        virtual_machine=event.virtual_machine,
        minutes_left=event.minutes_left,
        required_count=event.required_count,
    )


def count_alone(connection: Connection, events: Sequence[Told], privacy: Privacy) -> int:
    """Make a record for each of these stored events, whose requests no gateway has. Returns how many have one now."""
    made = [(told, record) for told in events if (record := record_of(told, privacy)) is not None]
    _correct(connection, [record for told, record in made if told.has_own])
    fresh = [(told, record) for told, record in made if not told.has_own]
    if fresh:
        add(connection, [record for _, record in fresh])
        table = schema.events
        connection.execute(
            table.update().where(table.c.fingerprint == bindparam("this")).values(record_id=bindparam("own")),
            [{"this": told.fingerprint, "own": record.record_id} for told, record in fresh],
        )
    return len(made)


def add(connection: Connection, records: Sequence[Record]) -> None:
    """Store records and add them to the sums. An event may have been deleted for its age while its record was not."""
    if not records:
        return
    there = _there(connection, [record.record_id for record in records])
    fresh = [record for record in records if record.record_id not in there]
    if fresh:
        execute_many(connection, _inserts(connection.dialect.name), [_row(record) for record in fresh])
        sums.add(connection, fresh)


def _there(connection: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Which of these ids some of the stored records have."""
    # Ids begin with their time: if a log is read in order, there are few records between the first and the last.
    column, most = schema.records.c.record_id, 2 * len(ids)
    between = select(column).where(column.between(min(ids), max(ids))).limit(most + 1)
    found = {bytes(each) for each in connection.scalars(between)}
    return found.intersection(ids) if len(found) <= most else present(connection, column, ids)


def _row(record: Record) -> dict[str, object]:
    """As `to_row`, without the columns that an event says nothing about."""
    return {
        "record_id": record.record_id,
        "at": record.at,
        "gateway": record.gateway,
        "client": record.client,
        "version": record.version,
        "upstream": record.upstream,
        "hresult": record.hresult,
        "reason": record.reason.value,
        "detail": record.detail,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "machine": record.machine,
        "cmid": record.cmid,
        "act_id": record.act_id,
        "license_status": record.license_status,
        "virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
        "minutes_left": record.minutes_left,
        "required_count": record.required_count,
    }


def _inserts(dialect: str) -> Any:
    if dialect not in _INSERTS:
        insert = insert_for(dialect, schema.records)
        _INSERTS[dialect] = insert.on_conflict_do_nothing(index_elements=["record_id"])
    return _INSERTS[dialect]


# Kept, so that the statement is compiled only once.
_INSERTS: dict[str, object] = {}


def _correct(connection: Connection, records: Sequence[Record]) -> None:
    """Update stored records with what is known by now, such as the host that another format names."""
    table = schema.records
    wanted = {record.record_id: record for record in records}
    if not wanted:
        return
    for row in connection.execute(select(table).where(table.c.record_id.in_(list(wanted)))).all():
        old, new = from_row(row), wanted[bytes(row.record_id)]
        if old != new:
            connection.execute(table.update().where(table.c.record_id == new.record_id).values(**to_row(new)))
            sums.replace(connection, old, new)


def uncount(connection: Connection, told: Told) -> None:
    """Remove the record made from an event, if there is one: its request is, or may be, in a gateway's record."""
    if not told.has_own:
        return
    table, events = schema.records, schema.events
    row = connection.execute(select(table).where(table.c.record_id == told.own_id)).one_or_none()
    if row is not None:
        connection.execute(delete(table).where(table.c.record_id == told.own_id))
        sums.remove(connection, from_row(row))
    connection.execute(
        events.update()
        .where(events.c.fingerprint == told.fingerprint, events.c.record_id == told.own_id)
        .values(record_id=None)
    )


class GatewayTimes:
    """When gateways had calls, from `first` to `last` (milliseconds since 1970), for a batch of events.

    It looks at the hours first: most stores have either no gateway's calls at a host's times, or one in every hour.
    """

    def __init__(self, connection: Connection, first: int, last: int) -> None:
        table, sums_of = schema.records, schema.hourly_activity
        hours = (first // schema.HOUR_MS, last // schema.HOUR_MS)
        any_call = select(sums_of.c.hour).where(sums_of.c.hour.between(*hours), sums_of.c.gateway != NO_GATEWAY)
        self._times: list[int] = []
        #: Whether there are too many to look at one by one.
        self._many = False
        if connection.scalar(any_call.limit(1)) is not None:
            times = select(table.c.at).where(
                table.c.record_id >= first_id_at(first),
                table.c.record_id < first_id_at(last + 1),
                table.c.gateway != NO_GATEWAY,
            )
            self._times = sorted(connection.scalars(times.limit(MOST_TIMES + 1)))
            self._many = len(self._times) > MOST_TIMES

    def any_within(self, first: int, last: int) -> bool:
        """Whether a gateway had a call from `first` to `last`, or may have had one, if there are too many to know."""
        at = bisect_left(self._times, first)
        return self._many or (at < len(self._times) and self._times[at] <= last)
