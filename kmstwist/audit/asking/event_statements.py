"""The prepared statements for importing events, and for joining them to records.

Those on records and events with one status near an event's time have the parameters of `events.near.about`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, Select, bindparam, exists, func, null, or_, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.asking.limits import ASKED
from kmstwist.audit.asking.record_statements import RECORD, Made, several
from kmstwist.audit.events.model import REQUEST_ANSWERED
from kmstwist.audit.records import NO_GATEWAY

_R, _E = schema.records.c, schema.events.c
_KNOWN: Final = (_E.fingerprint, _E.computer, _E.event_record_id, _E.at, _E.record_id)

_NEAR: Final[tuple[ColumnElement[bool], ...]] = (
    _R.record_id >= bindparam("first_id"),
    _R.record_id < bindparam("next_id"),
    _R.hresult == bindparam("status"),
    _R.gateway != NO_GATEWAY,
)
_OPAQUE: Final[tuple[ColumnElement[bool], ...]] = (_R.version.is_not(None), _R.act_id.is_(None))
_UNNAMED: Final = (*_NEAR, *_OPAQUE)


def _alike(_: str) -> Select[Any]:
    """Events whose fingerprint lies in one of some ranges."""
    ranges = [_E.fingerprint.between(bindparam(f"low{at}"), bindparam(f"high{at}")) for at in range(ASKED)]
    return select(*_KNOWN).where(or_(*ranges))


def _same(_: str) -> Select[Any]:
    return select(*_KNOWN).where(_E.fingerprint.in_([bindparam(f"low{at}") for at in range(ASKED)]))


def _nearest(statement: Select[Any], number: int) -> Select[Any]:
    """The first of a statement's records, by how near they are to the event's time."""
    return statement.order_by(func.abs(_R.at - bindparam("event_at")), _R.seq).limit(number)


def _readable(_: str) -> Select[Any]:
    """The nearest record with this `cmid`, `act_id` and `machine` that the gateway could read and that has no event."""
    found = select(_R.record_id).where(
        *_NEAR,
        _R.cmid == bindparam("cmid"),
        _R.act_id == bindparam("act_id"),
        func.lower(_R.machine) == bindparam("machine"),
        ~exists().where(_E.record_id == _R.record_id),
    )
    return _nearest(found, 1)


def _others_without_record(_: str) -> Select[Any]:
    """How many events other than `this` have no record."""
    return select(func.count()).where(
        _E.event_id == REQUEST_ANSWERED,
        _E.record_id.is_(None),
        _E.hresult == bindparam("status"),
        _E.at.between(bindparam("first_at"), bindparam("last_at")),
        _E.fingerprint != bindparam("this"),
    )


def _others_with_their_own(_: str) -> Select[Any]:
    """How many events other than `this` have only the record made from them, and no gateway's."""
    # Found through the records, whose ids begin with their time.
    both = schema.records.join(schema.events, _E.record_id == _R.record_id)
    return (
        select(func.count())
        .select_from(both)
        .where(
            _R.record_id >= bindparam("first_other"),
            _R.record_id < bindparam("next_other"),
            _R.gateway == NO_GATEWAY,
            _R.hresult == bindparam("status"),
            _E.fingerprint != bindparam("this"),
        )
    )


def _facts(_: str) -> Executable:
    names = ("machine", "cmid", "act_id", "license_status", "virtual_machine", "minutes_left", "required_count")
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return schema.records.update().where(_R.record_id == bindparam("its_id")).values(values)


def _completed(*names: str) -> Made:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return lambda _: schema.events.update().where(_E.fingerprint == bindparam("this")).values(values)


EVENT_STATEMENTS: Final[Mapping[str, Made]] = {
    "an event": lambda _: select(_E.seq).limit(1),
    "events alike": _alike,
    "the same events": _same,
    "add events": lambda dialect: insert_for(dialect, schema.events).on_conflict_do_nothing(
        index_elements=["fingerprint"]
    ),
    "complete an event": _completed("computer", "event_record_id"),
    "complete a client's event": _completed("computer", "event_record_id", "machine"),
    "joined events": lambda _: select(_E.fingerprint, _E.at, _E.computer, _E.record_id).where(
        _E.fingerprint.in_(several("fingerprints"))
    ),
    # -- joining
    "two unnamed records": lambda _: select(*RECORD).where(*_UNNAMED).limit(2),
    "times of unnamed records": lambda _: select(_R.at).where(*_UNNAMED).limit(500),
    "two unnamed records from addresses": lambda _: _nearest(
        select(*RECORD).where(*_UNNAMED, _R.client.in_(several("addresses"))), 2
    ),
    "any unnamed record": lambda _: (
        select(_R.seq)
        .where(_R.record_id >= bindparam("first_id"), _R.record_id < bindparam("next_id"), *_OPAQUE)
        .limit(1)
    ),
    "a readable record": _readable,
    "other events without a record": _others_without_record,
    "other events with their own record": _others_with_their_own,
    "note an event's record": lambda _: (
        schema.events.update().where(_E.fingerprint == bindparam("this")).values(record_id=bindparam("its_id"))
    ),
    "add an event's facts": _facts,
    # -- requests that only events report
    "forget an event's own record": lambda _: (
        schema.events.update()
        .where(_E.fingerprint == bindparam("this"), _E.record_id == bindparam("its_id"))
        .values(record_id=null())
    ),
    "an hour of gateways' calls": lambda _: (
        select(schema.hourly_activity.c.hour)
        .where(
            schema.hourly_activity.c.hour.between(bindparam("first"), bindparam("last")),
            schema.hourly_activity.c.gateway != NO_GATEWAY,
        )
        .limit(1)
    ),
    "times of gateways' calls": lambda _: (
        select(_R.at)
        .where(_R.record_id >= bindparam("first_id"), _R.record_id < bindparam("next_id"), _R.gateway != NO_GATEWAY)
        .limit(bindparam("most"))
    ),
}
