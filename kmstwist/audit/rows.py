"""A record as a row of the table `records`, and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from kmstwist.audit.records import Phases, Record
from kmstwist.reasons import Reason


def to_row(record: Record) -> dict[str, Any]:
    """The record as a row of the table `records`."""
    phases = record.phases
    return {
        "record_id": record.record_id,
        "at": record.at,
        "gateway": record.gateway,
        "client": record.client,
        "peer": record.peer,
        "version": record.version,
        "upstream": record.upstream,
        "hresult": record.hresult,
        "fault": record.fault,
        "reason": str(record.reason),
        "detail": record.detail,
        "receive_ms": phases.receive,
        "answer_ms": phases.answer,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "machine": record.machine,
        "cmid": record.cmid,
        "app_id": record.app_id,
        "act_id": record.act_id,
        "product": record.product,
        "license_status": record.license_status,
        "virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
        "minutes_left": record.minutes_left,
        "required_count": record.required_count,
        "count": record.count,
    }


def from_row(row: Row[Any]) -> Record:
    """The record that `to_row` made the row of."""
    return Record(
        record_id=bytes(row.record_id),
        at=row.at,
        gateway=row.gateway,
        client=row.client,
        peer=row.peer,
        version=row.version,
        upstream=row.upstream,
        hresult=row.hresult,
        fault=row.fault,
        reason=Reason(row.reason),
        detail=row.detail,
        phases=Phases(row.receive_ms, row.answer_ms),
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        machine=row.machine,
        cmid=row.cmid,
        app_id=row.app_id,
        act_id=row.act_id,
        product=row.product,
        license_status=row.license_status,
        virtual_machine=None if row.virtual_machine is None else bool(row.virtual_machine),
        minutes_left=row.minutes_left,
        required_count=row.required_count,
        # Row has a method of this name.
        count=row._mapping["count"],
    )
