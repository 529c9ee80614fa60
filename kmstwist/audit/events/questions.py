"""The queries for joining an event: each statement is made once, since making one costs more than running it.

All take the values of `about`: they are for the records and events with one status near an event's time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import Prepared
from kmstwist.audit.events.model import REQUEST_ANSWERED, Event
from kmstwist.audit.records import NO_GATEWAY, first_id_at
from kmstwist.audit.rows import COLUMNS


def about(event: Event, window: int) -> dict[str, object]:
    """The parameters that select the records and events near an event's time."""
    return {
        "event_at": event.at,
        "status": event.hresult,
        "first_id": first_id_at(event.at - window),
        "next_id": first_id_at(event.at + window + 1),
        "first_at": event.at - 2 * window,
        "last_at": event.at + 2 * window,
        "first_other": first_id_at(event.at - 2 * window),
        "next_other": first_id_at(event.at + 2 * window + 1),
    }


def _record() -> list[ColumnElement[Any]]:
    return [schema.records.c[name] for name in COLUMNS]


def _of_gateways() -> tuple[ColumnElement[bool], ...]:
    table = schema.records
    return (
        table.c.record_id >= bindparam("first_id"),
        table.c.record_id < bindparam("next_id"),
        table.c.hresult == bindparam("status"),
        table.c.gateway != NO_GATEWAY,
    )


def _unnamed() -> tuple[ColumnElement[bool], ...]:
    table = schema.records
    return (*_of_gateways(), table.c.version.is_not(None), table.c.act_id.is_(None))


@cache
def unnamed() -> Prepared:
    """Two of the records without a name."""
    return Prepared(select(*_record()).where(*_unnamed()).limit(2))


@cache
def unnamed_times() -> Prepared:
    """The times of records without a name, of a few hundred at most."""
    return Prepared(select(schema.records.c.at).where(*_unnamed()).limit(500))


@cache
def unnamed_from() -> Select[Any]:
    """The two records without a name, from some `addresses`, that are nearest in time."""
    table = schema.records
    return (
        select(*_record())
        .where(*_unnamed(), table.c.client.in_(bindparam("addresses", expanding=True)))
        .order_by(func.abs(table.c.at - bindparam("event_at")), table.c.seq)
        .limit(2)
    )


@cache
def readable() -> Prepared:
    """The nearest record with this `cmid`, `act_id` and `machine` that the gateway could read and that has no event."""
    table, events = schema.records, schema.events
    return Prepared(
        select(table.c.record_id)
        .where(
            *_of_gateways(),
            table.c.cmid == bindparam("cmid"),
            table.c.act_id == bindparam("act_id"),
            func.lower(table.c.machine) == bindparam("machine"),
            ~exists().where(events.c.record_id == table.c.record_id),
        )
        .order_by(func.abs(table.c.at - bindparam("event_at")), table.c.seq)
        .limit(1)
    )


@cache
def others_without_record() -> Prepared:
    """How many events other than `this` have no record."""
    events = schema.events
    return Prepared(
        select(func.count()).where(
            events.c.event_id == REQUEST_ANSWERED,
            events.c.record_id.is_(None),
            events.c.hresult == bindparam("status"),
            events.c.at.between(bindparam("first_at"), bindparam("last_at")),
            events.c.fingerprint != bindparam("this"),
        )
    )


@cache
def others_with_their_own() -> Prepared:
    """How many events other than `this` have only the record made from them, and no gateway's."""
    # Found through the records, whose ids begin with their time.
    events, table = schema.events, schema.records
    return Prepared(
        select(func.count())
        .select_from(table.join(events, events.c.record_id == table.c.record_id))
        .where(
            table.c.record_id >= bindparam("first_other"),
            table.c.record_id < bindparam("next_other"),
            table.c.gateway == NO_GATEWAY,
            table.c.hresult == bindparam("status"),
            events.c.fingerprint != bindparam("this"),
        )
    )


@cache
def belongs() -> Prepared:
    """Note that the event `this` belongs to the record `its`."""
    events = schema.events
    return Prepared(events.update().where(events.c.fingerprint == bindparam("this")).values(record_id=bindparam("its")))


@cache
def facts() -> Prepared:
    """Add an event's facts to its record `its`."""
    table = schema.records
    names = ("machine", "cmid", "act_id", "license_status", "virtual_machine", "minutes_left", "required_count")
    values: dict[str, object] = {name: bindparam(f"new_{name}") for name in names}
    return Prepared(table.update().where(table.c.record_id == bindparam("its")).values(values))
