"""A summary of a week in one list: who expires, who fell silent, which machines are new, what was refused and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.questions import ask
from kmstwist.audit.reports.failures import FailureRow, failures
from kmstwist.audit.reports.filters import on_machines
from kmstwist.audit.reports.machines import EXPIRING_DAYS, SILENT_DAYS, expiring, silent
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, in_days, moment, to_ms
from kmstwist.reasons import Reason

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

#: How many days a digest looks back by default.
DIGEST_DAYS = 7


class About(StrEnum):
    """The kind of a row."""

    #: Its activation ended in these days, or ends within 30 more if it is not renewed. `when` is the end.
    EXPIRES = "expires"
    #: In these days it came to 14 days without a call. `when` is the last call.
    SILENT = "silent"
    #: It called for the first time in these days. `when` is the first call.
    NEW = "new"
    #: Calls that did not end well in these days, by cause. `when` is the last one.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DigestRow(ReportRow):
    """One machine, or one cause. `calls` and `cure` are a cause's."""

    about: Annotated[About, Heading("What", Kind.NAME)]
    subject: Annotated[str, Heading("Who or why", Kind.NAME)]
    product: Annotated[str, Heading("Product", spare=True)]
    when: Annotated[datetime, Heading("When", Kind.DATE)]
    calls: Annotated[int | None, Heading("Calls", Kind.NUMBER, spare=True)]
    clients: Annotated[int | None, Heading("Clients", Kind.NUMBER, spare=True)]
    cure: Annotated[str, Heading("Cure", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """A new machine is good news."""
        return {About.EXPIRES: Urgency.URGENT, About.SILENT: Urgency.SOON, About.NEW: Urgency.GOOD}.get(
            self.about, Urgency.NONE
        )


def digest(reader: Reader, query: Query) -> Report[DigestRow]:
    """The digest of the last `query.days` days, the most urgent first."""
    days = DIGEST_DAYS if query.days is None else query.days
    rows = [
        *_expiring(reader, query, days),
        *_silent(reader, query, days),
        *_new(reader, query, days),
        *_refused(reader, query, days),
    ]
    return Report("digest", f"What the last {'day' if days == 1 else in_days(days)} brought", DigestRow, rows)


def _expiring(reader: Reader, query: Query, days: int) -> Iterator[DigestRow]:
    # As of the beginning of these days, so that machines that have expired since are included.
    then = replace(query, now=query.now - timedelta(days=days), days=EXPIRING_DAYS + days)
    for row in expiring(reader, then).rows:
        assert row.expires is not None
        yield DigestRow(About.EXPIRES, row.machine, row.product, row.expires, None, None, "")


def _silent(reader: Reader, query: Query, days: int) -> Iterator[DigestRow]:
    since = query.now - timedelta(days=SILENT_DAYS + days)
    for row in silent(reader, replace(query, since=since, days=SILENT_DAYS)).rows:
        yield DigestRow(About.SILENT, row.machine, row.product, row.last_seen, None, None, "")


def _new(reader: Reader, query: Query, days: int) -> Iterator[DigestRow]:
    """Machines, not products: one that has only added Office is not new."""
    first = {"first_from": to_ms(query.now - timedelta(days=days)), "first_to": to_ms(query.now)}
    for machine, product, seen in ask(reader, "new machines", on_machines(reader, query), **first):
        yield DigestRow(About.NEW, machine, product or "", moment(seen), None, None, "")


def _refused(reader: Reader, query: Query, days: int) -> Iterator[DigestRow]:
    since = query.now - timedelta(days=days)
    causes: dict[tuple[int | None, str], list[FailureRow]] = {}
    for row in failures(reader, replace(query, since=since)).rows:
        causes.setdefault((row.status, row.reason), []).append(row)
    ordered = sorted(
        causes.values(), key=lambda rows: (-sum(row.calls for row in rows), rows[0].status or 0, rows[0].reason)
    )
    for rows in ordered:
        first = rows[0]
        # An answer with a count that is too low is a good one, and its status says enough.
        status = "" if first.status is None else f"0x{first.status:08X}"
        reason = "" if first.reason == Reason.OK and status else first.reason
        # A row counts the clients of one network, and a client is in one network: nobody is counted twice.
        clients = sum(row.clients for row in rows)
        yield DigestRow(
            About.REFUSED,
            f"{reason} {status}".strip(),
            "",
            max(row.last for row in rows),
            sum(row.calls for row in rows),
            clients,
            first.cure,
        )
