"""The KMS hosts that DNS names and nobody configured: `strangers`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy import Connection, select

from kmstwist.audit import schema
from kmstwist.audit.reports.filters import plain_order
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, maybe_moment, moment


@dataclass(frozen=True, slots=True)
class StrangerRow(ReportRow):
    """A stranger, when the watch found it first and last, and when it was found to be gone (None: it is there)."""

    domain: Annotated[str, Heading("Domain", Kind.NAME)]
    host: Annotated[str, Heading("KMS host", Kind.NAME)]
    port: Annotated[int, Heading("Port", Kind.NUMBER)]
    addresses: Annotated[str, Heading("Addresses", Kind.NAME)]
    priority: Annotated[int, Heading("Priority", Kind.NUMBER, spare=True)]
    weight: Annotated[int, Heading("Weight", Kind.NUMBER, spare=True)]
    first_seen: Annotated[datetime, Heading("First seen", Kind.TIME)]
    last_seen: Annotated[datetime, Heading("Last seen", Kind.TIME)]
    gone: Annotated[datetime | None, Heading("Gone", Kind.TIME)]
    gateway: Annotated[str, Heading("Seen by", Kind.NAME, spare=True)]

    @property
    def urgency(self) -> Urgency:
        """One that is still there wants attention: it takes clients now."""
        return Urgency.URGENT if self.gone is None else Urgency.NONE


def strangers(connection: Connection, query: Query) -> Report[StrangerRow]:
    """The strangers still in DNS first, then those that have gone, the latest first."""
    table = schema.strangers
    names = (table.c.domain, table.c.host, table.c.gateway)
    order = (table.c.gone.is_not(None), table.c.last_seen.desc(), *map(plain_order, names), table.c.port)
    rows = [
        StrangerRow(
            domain=row.domain,
            host=row.host,
            port=row.port,
            addresses=row.addresses,
            priority=row.priority,
            weight=row.weight,
            first_seen=moment(row.first_seen),
            last_seen=moment(row.last_seen),
            gone=maybe_moment(row.gone),
            gateway=row.gateway,
        )
        for row in connection.execute(select(table).order_by(*order))
    ]
    return Report("strangers", "KMS hosts in DNS that nobody configured", StrangerRow, rows)
