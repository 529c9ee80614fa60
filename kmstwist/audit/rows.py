"""A record as a row of the table `records`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Row

from kmstwist.audit.records import Phases, Record
from kmstwist.reasons import Reason

#: The columns that a record fills, each with the place of its value in the record.
SOURCES: Final = {
    "record_id": "record_id",
    "at": "at",
    "gateway": "gateway",
    "client": "client",
    "peer": "peer",
    "version": "version",
    "upstream": "upstream",
    "hresult": "hresult",
    "fault": "fault",
    "reason": "reason.value",
    "detail": "detail",
    "receive_ms": "phases.receive",
    "answer_ms": "phases.answer",
    "bytes_in": "bytes_in",
    "bytes_out": "bytes_out",
    "machine": "machine",
    "cmid": "cmid",
    "app_id": "app_id",
    "act_id": "act_id",
    "product": "product",
    "license_status": "license_status",
    "virtual_machine": "virtual_machine",
    "minutes_left": "minutes_left",
    "required_count": "required_count",
    "count": "count",
}
#: The names of these columns.
COLUMNS: Final = tuple(SOURCES)
_values: Final = attrgetter(*SOURCES.values())
# `Row` has a method with the last one's name.
_all_but_count: Final = attrgetter(*COLUMNS[:-1])
_VIRTUAL: Final = COLUMNS.index("virtual_machine")
_REASONS: Final = {each.value: each for each in Reason}


def values_of(record: Record) -> tuple[object, ...]:
    """The record's values, in the order of `COLUMNS`."""
    values: tuple[object, ...] = _values(record)
    if record.virtual_machine is not None:
        values = (*values[:_VIRTUAL], int(record.virtual_machine), *values[_VIRTUAL + 1 :])
    return values


def to_row(record: Record) -> dict[str, Any]:
    """The record as a row of the table `records`."""
    return dict(zip(COLUMNS, values_of(record), strict=True))


def from_values(values: Sequence[Any]) -> Record:
    """The record that has these values, in the order of `COLUMNS`."""
    (
        record_id,
        at,
        gateway,
        client,
        peer,
        version,
        upstream,
        hresult,
        fault,
        reason,
        detail,
        receive_ms,
        answer_ms,
        bytes_in,
        bytes_out,
        machine,
        cmid,
        app_id,
        act_id,
        product,
        license_status,
        virtual_machine,
        minutes_left,
        required_count,
        count,
    ) = values
    # In the order of a record's fields: by their names it takes three times as long (2.2 µs instead of 0.8).
    return Record(
        bytes(record_id),
        at,
        gateway,
        client,
        _REASONS[reason],
        peer,
        version,
        upstream,
        hresult,
        fault,
        detail,
        Phases(receive_ms, answer_ms),
        bytes_in,
        bytes_out,
        machine,
        cmid,
        app_id,
        act_id,
        product,
        license_status,
        None if virtual_machine is None else bool(virtual_machine),
        minutes_left,
        required_count,
        count,
    )


def from_row(row: Row[Any]) -> Record:
    """The record from which `to_row` made the row."""
    return from_values((*_all_but_count(row), row._mapping["count"]))
