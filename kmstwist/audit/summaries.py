"""The tables reports read, kept up with each batch of records.

A batch is first added up in memory (a busy hour's records touch few rows), then merged into the tables with one upsert
statement each, inside the batch's own transaction. Rows are merged in the order of their keys, so that two gateways
writing to one PostgreSQL take its row locks in the same order and never deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, case, or_
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import execute_many, insert_for
from kmstwist.audit.identity import machine_key, network_of
from kmstwist.audit.records import COUNT_INSUFFICIENT, Record
from kmstwist.kms.catalogue import WINDOWS

HOUR_MS = 3_600_000

Row = dict[str, Any]

_WINDOWS = str(WINDOWS)


def outcome(record: Record) -> tuple[str, int]:
    """What a record that was not granted failed with: the kind of status, and the status (0 where there is none)."""
    if record.fault is not None:
        return "fault", record.fault
    if record.hresult is None:
        return "none", 0
    if record.hresult == 0:
        return "client", COUNT_INSUFFICIENT
    return "hresult", record.hresult


def failing(records: Table) -> ColumnElement[bool]:
    """What `not Record.granted` is in SQL, over the table of records."""
    return or_(records.c.hresult.is_(None), records.c.hresult != 0, records.c["count"] < records.c.required_count)


@dataclass(slots=True)
class Summary:
    """A batch of records added up: for each table, its rows by their keys."""

    machines: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    cmids: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    activity: dict[tuple[int, str, str, str], Row] = field(default_factory=dict)
    failures: dict[tuple[int, str, str, str, int, str], Row] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one record."""
        # A peer that never sent a KMS message is somebody refused, not a machine to keep activated.
        if record.version is not None:
            self.add_machine(record)
            self.add_activity(record)
        if not record.granted:
            self.add_failure(record)

    def add_machine(self, record: Record) -> None:
        """Count a record in the tables of machines and CMIDs only."""
        machine = machine_key(record.machine, record.client)
        # An imported event names the product but not its application; products of one machine are still kept apart.
        app = record.app_id or record.act_id or ""
        slot = "" if app == _WINDOWS else record.act_id or ""
        at = record.at
        success = at if record.granted else None
        answered = at if record.seen_by_host else None
        latest = {
            "named": int(record.machine is not None),
            "address": record.client,
            "network": network_of(record.client),
            "gateway": record.gateway,
            "upstream": record.upstream,
            "version": record.version,
            "cmid": record.cmid,
            "act_id": record.act_id,
            "product": record.product,
            "license_status": record.license_status,
            "virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
            "minutes_left": record.minutes_left,
            "required_count": record.required_count,
            "last_reason": str(record.reason),
            "last_status": 0 if success is not None else outcome(record)[1],
        }
        row = self.machines.get((machine, app, slot))
        if row is None:
            self.machines[machine, app, slot] = {
                "machine": machine,
                "app": app,
                "slot": slot,
                **latest,
                "first_seen": at,
                "last_seen": at,
                "last_success": success,
                "last_answered": answered,
                "calls": 1,
                "successes": int(success is not None),
            }
        else:
            row["calls"] += 1
            row["first_seen"] = min(row["first_seen"], at)
            if at >= row["last_seen"]:
                row.update(latest)
                row["last_seen"] = at
            if success is not None:
                row["successes"] += 1
            row["last_success"] = _latest(row["last_success"], success)
            row["last_answered"] = _latest(row["last_answered"], answered)
        if record.cmid is not None:
            self._add_cmid(record, machine, app, record.cmid)

    def _add_cmid(self, record: Record, machine: str, app: str, cmid: str) -> None:
        answered = record.at if record.seen_by_host else None
        row = self.cmids.get((machine, app, cmid))
        if row is None:
            self.cmids[machine, app, cmid] = {
                "machine": machine,
                "app": app,
                "cmid": cmid,
                "address": record.client,
                "required_count": record.required_count,
                "first_seen": record.at,
                "last_seen": record.at,
                "last_answered": answered,
                "calls": 1,
            }
            return
        row["calls"] += 1
        row["first_seen"] = min(row["first_seen"], record.at)
        row["last_answered"] = _latest(row["last_answered"], answered)
        if record.at >= row["last_seen"]:
            row.update(last_seen=record.at, address=record.client, required_count=record.required_count)

    def add_activity(self, record: Record) -> None:
        """Count a record in the hourly activity only."""
        key = (record.at // HOUR_MS, record.gateway, record.upstream or "", record.product or "")
        row = self.activity.get(key)
        if row is None:
            row = self.activity[key] = {
                "hour": key[0],
                "gateway": key[1],
                "upstream": key[2],
                "product": key[3],
                "calls": 0,
                "successes": 0,
                "bytes_in": 0,
                "bytes_out": 0,
                "answer_ms": 0.0,
                "answer_calls": 0,
            }
        row["calls"] += 1
        row["bytes_in"] += record.bytes_in
        row["bytes_out"] += record.bytes_out
        if record.granted:
            row["successes"] += 1
        if record.phases.answer is not None:
            row["answer_ms"] += record.phases.answer
            row["answer_calls"] += 1

    def add_failure(self, record: Record) -> None:
        """Count a record that was not granted in the hourly failures only."""
        kind, status = outcome(record)
        key = (record.at // HOUR_MS, record.client, str(record.reason), kind, status, record.machine or "")
        row = self.failures.get(key)
        if row is None:
            self.failures[key] = {
                "hour": key[0],
                "client": record.client,
                "reason": key[2],
                "kind": kind,
                "status": status,
                "network": network_of(record.client),
                "machine": key[5],
                "upstream": record.upstream or "",
                "first_at": record.at,
                "last_at": record.at,
                "calls": 1,
            }
            return
        row["calls"] += 1
        row["first_at"] = min(row["first_at"], record.at)
        if record.at >= row["last_at"]:
            row["last_at"] = record.at
            row["upstream"] = record.upstream or ""


def _latest(old: int | None, new: int | None) -> int | None:
    return old if new is None else new if old is None else max(old, new)


def summarise(batch: Iterable[Record]) -> Summary:
    """Add a batch up."""
    summary = Summary()
    for record in batch:
        summary.add(record)
    return summary


def merge(connection: Connection, summary: Summary) -> None:
    """Merge a batch's sums into the store's tables."""
    for table, rows in (
        (schema.machines, summary.machines),
        (schema.machine_cmids, summary.cmids),
        (schema.hourly_activity, summary.activity),
        (schema.hourly_failures, summary.failures),
    ):
        if rows:
            execute_many(connection, _upsert(connection.dialect.name, table), _in_key_order(rows))


def _in_key_order(rows: dict[Any, Row]) -> Sequence[Row]:
    return [rows[key] for key in sorted(rows)]


@cache
def _upsert(dialect: str, table: Table) -> Insert:
    insert = insert_for(dialect, table)
    new, old = insert.excluded, table.c
    if table is schema.hourly_activity:
        changes = {
            name: old[name] + new[name]
            for name in ("calls", "successes", "bytes_in", "bytes_out", "answer_ms", "answer_calls")
        }
    elif table is schema.hourly_failures:
        changes = {
            "calls": old.calls + new.calls,
            "first_at": _lesser(old.first_at, new.first_at),
            "last_at": _greater(old.last_at, new.last_at),
            "upstream": case((new.last_at >= old.last_at, new.upstream), else_=old.upstream),
        }
    else:
        kept = {"machine", "app", "slot", "first_seen", "last_success", "last_answered", "calls", "successes"}
        if table is schema.machine_cmids:
            kept.add("cmid")
        changes = {
            column.name: case((new.last_seen >= old.last_seen, new[column.name]), else_=column)
            for column in table.c
            if column.name not in kept
        }
        changes["first_seen"] = _lesser(old.first_seen, new.first_seen)
        changes["calls"] = old.calls + new.calls
        changes["last_answered"] = _later(old.last_answered, new.last_answered)
        if table is schema.machines:
            changes["successes"] = old.successes + new.successes
            changes["last_success"] = _later(old.last_success, new.last_success)
    upsert: Insert = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)
    return upsert


def _later(old: Any, new: Any) -> Any:
    """The greater of two times, either of which may be null: it never was."""
    return case((old.is_(None), new), (new > old, new), else_=old)


def _lesser(old: Any, new: Any) -> Any:
    return case((new < old, new), else_=old)


def _greater(old: Any, new: Any) -> Any:
    return case((new > old, new), else_=old)
