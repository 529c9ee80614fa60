"""The state of each machine: `clients`, `expiring`, `silent`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from kmstwist.audit.asking.limits import Condition
from kmstwist.audit.asking.questions import ask, value
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import MACHINES, application_name, on_machines, product_name
from kmstwist.audit.reports.model import (
    ACTIVATION_LASTS,
    DAY_MS,
    RENEWAL_EVERY,
    Heading,
    Kind,
    LongReport,
    Query,
    Report,
    ReportRow,
    Urgency,
    as_day,
    in_days,
    maybe_moment,
    moment,
    to_ms,
)
from kmstwist.audit.reports.same_machine import CURE, SameMachine, likely_same

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

EXPIRING_DAYS = 30
# Two renewals missed: one may fail for a weekend.
SILENT_DAYS = 14

_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)


def urgency_of(days_left: int | None) -> Urgency:
    """How urgent it is that a machine renews; None days left: it never succeeded."""
    if days_left is None or days_left < 0:
        return Urgency.LOST
    if days_left < 30:
        return Urgency.URGENT
    # A machine that renews every 7 days never has fewer than 173 days left.
    return Urgency.SOON if days_left < 150 else Urgency.GOOD


@dataclass(frozen=True, slots=True)
class ClientRow(ReportRow):
    """One machine's activation of one product.

    `days_left` are whole days until the activation expires, negative after that; None if it never succeeded as far as
    is known. `last_status` is the last call's status, 0 for success. `note` says which other row may be the same
    machine.
    """

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME, spare=True)]
    application: Annotated[str, Heading("App", Kind.NAME)]
    product: Annotated[str, Heading("Product", spare=True)]
    last_success: Annotated[datetime | None, Heading("Activated", Kind.DATE, spare=True)]
    renewal_due: Annotated[datetime | None, Heading("Renewal", Kind.DATE, spare=True)]
    expires: Annotated[datetime | None, Heading("Expires", Kind.DATE)]
    days_left: Annotated[int | None, Heading("Days left", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    last_status: Annotated[int, Heading("Status", Kind.CODE, spare=True)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER, spare=True)]
    note: Annotated[str, Heading("Note", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is that this machine renews."""
        return urgency_of(self.days_left)


@dataclass(frozen=True, slots=True)
class SilentRow(ReportRow):
    """A machine that stopped calling; `days_silent` are whole days since its last call, `note` as in `ClientRow`."""

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME, spare=True)]
    application: Annotated[str, Heading("App", Kind.NAME)]
    product: Annotated[str, Heading("Product", spare=True)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    days_silent: Annotated[int, Heading("Days silent", Kind.NUMBER)]
    expires: Annotated[datetime | None, Heading("Expires", Kind.DATE)]
    days_left: Annotated[int | None, Heading("Days left", Kind.NUMBER)]
    note: Annotated[str, Heading("Note", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is that this machine renews."""
        return urgency_of(self.days_left)


M = TypeVar("M", ClientRow, SilentRow)


def clients(reader: Reader, query: Query) -> Report[ClientRow]:
    """Each machine, with its last activation, the next renewal due and the expiry; the most urgent first."""
    return _whole(clients_at_length(reader, query))


def clients_at_length(reader: Reader, query: Query, limit: int | None = None) -> LongReport[ClientRow]:
    """As `clients`."""
    return _clients("clients", "Machines and their activations", reader, query, limit)


def expiring(reader: Reader, query: Query) -> Report[ClientRow]:
    """The machines whose activation expires within `query.days` days if nothing changes; the earliest first."""
    return _whole(expiring_at_length(reader, query))


def expiring_at_length(reader: Reader, query: Query, limit: int | None = None) -> LongReport[ClientRow]:
    """As `expiring`."""
    days = EXPIRING_DAYS if query.days is None else query.days
    succeeded_by = query.now - ACTIVATION_LASTS
    found = _clients(
        "expiring",
        f"Machines that lose activation within {in_days(days)}",
        reader,
        query,
        limit,
        Condition(MACHINES, "success from", {"success_from": to_ms(succeeded_by)}),
        Condition(MACHINES, "success to", {"success_to": to_ms(succeeded_by + days * _DAY)}),
    )
    number = value(reader, "number never granted", on_machines(reader, query))
    if not number:
        return found
    # A machine may have another product that was granted.
    they = "1 machine has" if number == 1 else f"{number} machines have"
    unknown = f"{they} a product that was never granted here, so its expiry is not known: see the report clients"
    note = "; ".join(filter(None, (found.head.note, unknown)))
    return replace(found, head=replace(found.head, note=note))


def silent(reader: Reader, query: Query) -> Report[SilentRow]:
    """The machines that made no call in the last `query.days` days; the longest silent first."""
    return _whole(silent_at_length(reader, query))


def silent_at_length(reader: Reader, query: Query, limit: int | None = None) -> LongReport[SilentRow]:
    """As `silent`."""
    days = SILENT_DAYS if query.days is None else query.days
    silent_since = Condition(MACHINES, "silent", {"silent": to_ms(query.now - days * _DAY)})
    where = (silent_since, *on_machines(reader, query))
    same, noted = _same(reader, where)
    names = Names.stored(reader)

    def row(stored: Sequence[Any]) -> SilentRow:
        machine, address, app, product, act_id, success, last_seen, _, _ = stored
        seen, expires = moment(last_seen), _expiry(success)
        return SilentRow(
            machine=machine,
            address=address,
            application=application_name(app, names),
            product=product_name(product, act_id, names),
            last_seen=seen,
            days_silent=(query.now - seen) // _DAY,
            expires=expires,
            days_left=None if expires is None else (expires - query.now) // _DAY,
            note=_note(machine, address, same),
        )

    head = _head("silent", f"Machines that made no call for {in_days(days)}", SilentRow, noted)
    return _at_length(reader, head, row, where, "machines by call", limit)


def _clients(
    name: str, title: str, reader: Reader, query: Query, limit: int | None, *more: Condition
) -> LongReport[ClientRow]:
    where = (*more, *on_machines(reader, query))
    same, noted = _same(reader, where)
    names = Names.stored(reader)
    now, lasts = to_ms(query.now), ACTIVATION_LASTS // _MILLISECOND

    def row(stored: Sequence[Any]) -> ClientRow:
        # An organisation may have a hundred thousand of these rows: days are counted in whole numbers.
        machine, address, app, product, act_id, success, seen, status, calls = stored
        activated = None if success is None else moment(success)
        return ClientRow(
            machine,
            address,
            application_name(app, names),
            product_name(product, act_id, names),
            activated,
            None if activated is None else activated + RENEWAL_EVERY,
            None if activated is None else activated + ACTIVATION_LASTS,
            None if success is None else (success + lasts - now) // DAY_MS,
            moment(seen),
            status,
            calls,
            _note(machine, address, same),
        )

    head = _head(name, title, ClientRow, noted)
    return _at_length(reader, head, row, where, "machines by success", limit)


def _at_length(
    reader: Reader,
    head: Report[M],
    row: Callable[[Sequence[Any]], M],
    where: Sequence[Condition],
    question: str,
    limit: int | None,
) -> LongReport[M]:
    total = value(reader, "number of machines", where)
    return LongReport(head, _rows(reader, row, where, question, limit), int(total))


def _rows(
    reader: Reader,
    row: Callable[[Sequence[Any]], M],
    where: Sequence[Condition],
    question: str,
    limit: int | None,
) -> Iterator[M]:
    answer = ask(reader, question, where, limit=limit)
    yield from map(row, answer)


def _whole(report: LongReport[M]) -> Report[M]:
    return replace(report.head, rows=list(report.rows))


def _same(reader: Reader, where: Sequence[Condition]) -> tuple[SameMachine, bool]:
    """The machines that may be the same, and whether one of those that are asked for is among them."""
    same = likely_same(reader)
    if not same.machine_at:
        return same, False
    machines = ask(reader, "names of machines", where)
    noted = any(machine in same.machine_at or machine in same.seen for (machine,) in machines)
    machines.close()
    return same, noted


def _note(machine: str, address: str, same: SameMachine) -> str:
    if (named := same.machine_at.get(machine)) is not None:
        return f"probably {named}"
    if (seen := same.seen.get(machine)) is not None:
        return f"{address} called on {as_day(moment(seen))}, without a name"
    return ""


def _head(name: str, title: str, row_type: type[M], noted: bool) -> Report[M]:
    return Report(name, title, row_type, (), f"rows with a note may be one machine; {CURE}" if noted else "")


def _expiry(last_success: int | None) -> datetime | None:
    success = maybe_moment(last_success)
    return None if success is None else success + ACTIVATION_LASTS
