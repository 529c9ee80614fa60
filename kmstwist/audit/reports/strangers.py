"""The KMS hosts that DNS names and nobody configured: `strangers`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.questions import ask
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, maybe_moment, moment

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


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


def strangers(reader: Reader, query: Query) -> Report[StrangerRow]:
    """The strangers still in DNS first, then those that have gone, the latest first."""
    rows = [
        StrangerRow(
            domain=domain,
            host=host,
            port=port,
            addresses=addresses,
            priority=priority,
            weight=weight,
            first_seen=moment(first),
            last_seen=moment(last),
            gone=maybe_moment(gone),
            gateway=gateway,
        )
        for domain, host, port, addresses, priority, weight, first, last, gone, gateway in ask(reader, "strangers")
    ]
    return Report("strangers", "KMS hosts in DNS that nobody configured", StrangerRow, rows)
