"""Single calls: the latest ones, and those of a time, a host, a status or a machine, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Annotated, Any

from sqlalchemy import Connection, Row, Select, Table, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.asking.found import from_address, narrowed, of_machine
from kmstwist.audit.products.names import LAB_ONLY, Names
from kmstwist.audit.records import COUNT_INSUFFICIENT, KINDS, first_id_at, machine_key
from kmstwist.audit.reports.filters import application_name, product_name
from kmstwist.audit.reports.model import Heading, Kind, ReportRow, Urgency, moment, to_ms
from kmstwist.audit.sums.networks import network_of
from kmstwist.audit.views.filters import is_product
from kmstwist.kms.messages import LicenseStatus
from kmstwist.reasons import REFUSING, Reason


class Became(StrEnum):
    """The outcome of a call, in words for people who know Windows."""

    ACTIVATED = "activated"
    RENEWED = "renewed"
    ANSWERED = "activated or renewed"
    TOO_FEW = "too few machines"
    REFUSED = "refused"
    FAILED = "failed"
    EVENT = "Windows event"


@dataclass(frozen=True, slots=True)
class CallRow(ReportRow):
    """One call, or one of Windows' events about it. `code` is its status or reason, "" for success.

    `answer_ms` is the time to the answer in milliseconds. `count` is what the host counted, `needed` what the client
    needs, None where they could not be read.
    """

    at: Annotated[datetime, Heading("When", Kind.TIME)]
    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME)]
    network: Annotated[str, Heading("Network", Kind.NAME, spare=True)]
    product: Annotated[str, Heading("Product")]
    application: Annotated[str, Heading("Application", Kind.NAME, spare=True)]
    host: Annotated[str, Heading("KMS host", Kind.NAME)]
    became: Annotated[Became, Heading("Result")]
    code: Annotated[str, Heading("Code", Kind.NAME)]
    detail: Annotated[str, Heading("Detail", spare=True)]
    count: Annotated[int | None, Heading("Count", Kind.NUMBER, spare=True)]
    needed: Annotated[int | None, Heading("Needed", Kind.NUMBER, spare=True)]
    answer_ms: Annotated[float | None, Heading("Answer ms", Kind.NUMBER, spare=True)]
    cmid: Annotated[str, Heading("CMID", Kind.NAME, spare=True)]
    gateway: Annotated[str, Heading("Gateway", Kind.NAME, spare=True)]
    #: Where the next page begins: the calls before this one.
    seq: int = 0

    @property
    def urgency(self) -> Urgency:
        """Good if the machine was activated."""
        match self.became:
            case Became.ACTIVATED | Became.RENEWED | Became.ANSWERED:
                return Urgency.GOOD
            case Became.EVENT:
                return Urgency.GOOD if not self.code else Urgency.SOON
            case Became.TOO_FEW:
                return Urgency.SOON
            case _:
                return Urgency.URGENT


@dataclass(frozen=True, slots=True)
class Which:
    """A filter for calls; empty fields match all. `code` is a reason, or a status in hexadecimal."""

    since: datetime | None = None
    until: datetime | None = None
    machine: str = ""
    host: str = ""
    product: str = ""
    code: str = ""
    only_failed: bool = False


def latest_calls(connection: Connection, which: Which, limit: int, before: int | None = None) -> list[CallRow]:
    """The latest calls first; only those before the call `before`, if it is given."""
    records = schema.records
    if which.code and not _ever_ended_with(connection, which.code):
        return []
    conditions = _conditions(connection, which)
    if before is not None:
        conditions.append(records.c.seq < before)
    statement = select(records).where(*conditions)
    if which.since is not None or which.until is not None:
        # The index by id, which begins with the time, leads to them.
        statement = statement.order_by(records.c.record_id.desc(), records.c.seq.desc())
    else:
        statement = statement.order_by(records.c.seq.desc())
    names = Names.stored(connection)
    return [call_row(row, names) for row in connection.execute(statement.limit(limit))]


def machine_calls(connection: Connection, machine: str, limit: int, until: datetime | None = None) -> list[CallRow]:
    """One machine's calls and the Windows events that name it, the latest first; before `until`, if it is given.

    Those of one moment always come in the same order, whatever the limit.
    """
    records, events = schema.records, schema.events
    until_ms = None if until is None else to_ms(until)

    def asked(table: Table, where: ColumnElement[bool]) -> Select[Any]:
        time: ColumnElement[Any] = table.c.at
        before: int | bytes | None = until_ms
        if table is records and connection.dialect.name == "sqlite":
            # An id begins with its record's time: SQLite has an index of ids, PostgreSQL one of names and times.
            time, before = records.c.record_id, None if until_ms is None else first_id_at(until_ms)
        times = () if before is None else (time < before,)
        return select(table).where(where, *times).order_by(time.desc(), table.c.seq.desc()).limit(limit)

    names = Names.stored(connection)
    of_records = (_named_records(connection, machine), narrowed(connection, from_address(machine)))
    rows = [call_row(row, names) for each in of_records for row in connection.execute(asked(records, each))]
    rows += [_event_row(row, names) for row in connection.execute(asked(events, _is_named(events, machine)))]
    rows.sort(key=lambda row: row.at, reverse=True)
    return rows[:limit]


def _named_records(connection: Connection, machine: str) -> ColumnElement[bool]:
    """The condition that a record names this machine, in any case; `machine` is in lower case."""
    spelled = _spelled(machine)
    return narrowed(connection, of_machine(*spelled)) if spelled else _is_named(schema.records, machine)


def _is_named(table: Table, machine: str) -> ColumnElement[bool]:
    """The same for any table, in which SQLite compares all names."""
    spelled = _spelled(machine)
    same = schema.caseless(table.c.machine).in_(spelled) if spelled else func.lower(table.c.machine) == machine
    named: ColumnElement[bool] = table.c.machine.is_not(None) & same
    return named


def _spelled(machine: str) -> list[str]:
    """The spellings of a name of A to Z apart from case: the kelvin sign is a k, too. Empty if there are too many.

    Empty, too, for a name with other letters: without a function of our own SQLite knows only those.
    """
    if not machine.isascii():
        return []
    parts = machine.split("k")
    if len(parts) > 5:
        return []
    return [
        "".join(map("".join, zip(parts, (*letters, ""), strict=True)))
        for letters in product("k\N{KELVIN SIGN}", repeat=len(parts) - 1)
    ]


def _conditions(connection: Connection, which: Which) -> list[ColumnElement[bool]]:
    records = schema.records
    found: list[ColumnElement[bool]] = []
    if which.since is not None:
        found.append(records.c.record_id >= first_id_at(to_ms(which.since)))
    if which.until is not None:
        found.append(records.c.record_id < first_id_at(to_ms(which.until)))
    if which.machine:
        named = _named_records(connection, which.machine.lower())
        found.append(or_(named, narrowed(connection, from_address(which.machine))))
    if which.host:
        found.append(records.c.upstream == which.host)
    if which.product:
        found.append(is_product(connection, records, which.product))
    if which.code:
        found.append(_has_code(which.code))
    if which.only_failed:
        found.append(
            or_(
                records.c.hresult.is_(None),
                records.c.hresult != 0,
                records.c["count"] < records.c.required_count,
            )
        )
    return found


def _ever_ended_with(connection: Connection, code: str) -> bool:
    """Whether any call ended with a code, according to the sums: searching all records in vain takes long."""
    if code == Reason.OK:
        return True
    table, status = schema.hourly_failures, status_of(code)
    known = table.c.reason == code if status is None else table.c.kind.in_(KINDS) & (table.c.status == status)
    return connection.scalar(select(table.c.hour).where(known).limit(1)) is not None


def _has_code(code: str) -> ColumnElement[bool]:
    records = schema.records
    status = status_of(code)
    if status is None:
        return records.c.reason == code
    if status == COUNT_INSUFFICIENT:
        too_few = (records.c.hresult == 0) & (records.c["count"] < records.c.required_count)
        return or_(records.c.hresult == status, too_few)
    return or_(records.c.hresult == status, (records.c.fault == status) & (records.c.reason == Reason.OK))


def status_of(code: str) -> int | None:
    """The status in a code, 0x… or plain hexadecimal of eight digits; None for a reason code."""
    text = code.lower().removeprefix("0x")
    try:
        value = int(text, 16) if code.lower().startswith("0x") or len(text) == 8 else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1 << 32 else None


def code_text(status: int) -> str:
    """A status as Windows writes it."""
    return f"0x{status:08X}"


def code_of(row: Row[Any]) -> str:
    """The status or reason shown for a stored record, "" for success."""
    return _code(row, _became(row))


def call_row(row: Row[Any], names: Names = LAB_ONLY) -> CallRow:
    """A stored record as a row."""
    became = _became(row)
    return CallRow(
        at=moment(row.at),
        machine=machine_key(row.machine, row.client),
        address=row.client,
        network=network_of(row.client),
        product="" if row.version is None else product_name(row.product, row.act_id, names),
        application=application_name(row.app_id or row.act_id or "", names),
        host=row.upstream or "",
        became=became,
        code=_code(row, became),
        detail=row.detail,
        count=row._mapping["count"],
        needed=row.required_count,
        answer_ms=row.answer_ms,
        cmid=row.cmid or "",
        gateway=row.gateway,
        seq=row.seq,
    )


def _became(row: Row[Any]) -> Became:
    if row.hresult == 0:
        count = row._mapping["count"]
        if count is not None and row.required_count is not None and count < row.required_count:
            return Became.TOO_FEW
        if row.license_status is None:
            return Became.ANSWERED
        return Became.RENEWED if row.license_status == LicenseStatus.LICENSED else Became.ACTIVATED
    if row.hresult is not None or row.reason.startswith(REFUSING):
        return Became.REFUSED
    return Became.FAILED


def _code(row: Row[Any], became: Became) -> str:
    if became is Became.TOO_FEW:
        return code_text(COUNT_INSUFFICIENT)
    if row.hresult is not None and not row.reason.startswith(REFUSING):
        return code_text(row.hresult) if row.hresult else ""
    return str(row.reason) if row.reason != "ok" else (code_text(row.fault) if row.fault is not None else "")


def _event_row(row: Row[Any], names: Names) -> CallRow:
    return CallRow(
        at=moment(row.at),
        machine=machine_key(row.machine, ""),
        address="",
        network="",
        product=product_name(None, row.act_id, names) if row.act_id else "",
        application="",
        host=row.computer,
        became=Became.EVENT,
        code=code_text(row.hresult) if row.hresult else "",
        detail=f"event {row.event_id} in the log of {row.computer}",
        count=row._mapping["count"],
        needed=row.required_count,
        answer_ms=None,
        cmid=row.cmid or "",
        gateway="",
    )


def newest(rows: Iterable[CallRow]) -> int:
    """The highest sequence number among rows; 0 without rows."""
    return max((row.seq for row in rows), default=0)
