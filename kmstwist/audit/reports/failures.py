"""What went wrong: `failures` by status and network, `refused` by client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.limits import Condition, like
from kmstwist.audit.asking.questions import ask
from kmstwist.audit.reports.filters import FAILURES, on_hours, within
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, moment
from kmstwist.kms.status import explain
from kmstwist.reasons import EXPLANATIONS, REFUSING, Reason

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


@dataclass(frozen=True, slots=True)
class FailureRow(ReportRow):
    """All failures of one kind in one network.

    `status` is None if the call ended without one. `reason` is "" if the call itself succeeded and the host's answer is
    the failure.
    """

    status: Annotated[int | None, Heading("Status", Kind.CODE)]
    reason: Annotated[str, Heading("Reason")]
    network: Annotated[str, Heading("Network", Kind.NAME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    clients: Annotated[int, Heading("Clients", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.DATE, spare=True)]
    last: Annotated[datetime, Heading("Last", Kind.DATE)]
    meaning: Annotated[str, Heading("Meaning", spare=True)]
    cure: Annotated[str, Heading("Cure")]

    @property
    def urgency(self) -> Urgency:
        """Each needs attention soon."""
        return Urgency.SOON


@dataclass(frozen=True, slots=True)
class RefusedRow(ReportRow):
    """A client refused by kmstwist itself, for one reason. `machine` is its name, "" if it gave none.

    Machines that share an address have a row each.
    """

    client: Annotated[str, Heading("Client", Kind.NAME)]
    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    network: Annotated[str, Heading("Network", Kind.NAME)]
    reason: Annotated[str, Heading("Reason")]
    calls: Annotated[int, Heading("Times", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.DATE, spare=True)]
    last: Annotated[datetime, Heading("Last", Kind.DATE)]
    meaning: Annotated[str, Heading("Why", spare=True)]
    cure: Annotated[str, Heading("Cure")]


def failures(reader: Reader, query: Query) -> Report[FailureRow]:
    """Every way calls failed, by status and network, the most frequent first."""
    rows = []
    for kind, code, reason, network, calls, clients, first, last in ask(reader, "failures", _conditions(reader, query)):
        status = None if kind == "none" else code
        meaning, cure = _explained(status, reason)
        rows.append(
            FailureRow(
                status=status,
                reason="" if reason == Reason.OK else reason,
                network=network,
                calls=int(calls),
                clients=clients,
                first=moment(first),
                last=moment(last),
                meaning=meaning,
                cure=cure,
            )
        )
    return Report("failures", "Failures by status and network", FailureRow, rows)


def refused(reader: Reader, query: Query) -> Report[RefusedRow]:
    """Who was refused here, and why; the last one refused first."""
    rows = []
    for client, network, reason, machine, calls, first, last in ask(reader, "refused", _conditions(reader, query)):
        meaning, cure = _reason_explained(reason)
        rows.append(
            RefusedRow(
                client=client,
                machine=machine,
                network=network,
                reason=reason,
                calls=int(calls),
                first=moment(first),
                last=moment(last),
                meaning=meaning,
                cure=cure,
            )
        )
    return Report("refused", "Who was refused, and why", RefusedRow, rows)


def _conditions(reader: Reader, query: Query) -> list[Condition]:
    found = on_hours(FAILURES, query)
    if query.machine is not None:
        found.append(like(FAILURES, "machine", query.machine))
    if query.upstream is not None:
        found.append(like(FAILURES, "upstream", query.upstream))
    if query.network is not None:
        found.append(within(reader, FAILURES, query.network))
    return found


def _explained(status: int | None, reason: str) -> tuple[str, str]:
    """The published meaning of the status; if kmstwist itself gave it, or there is none, the meaning of the reason."""
    published = None if status is None else explain(status)
    if published is None or reason.startswith(REFUSING):
        return _reason_explained(reason)
    return published.text, published.cure


def _reason_explained(reason: str) -> tuple[str, str]:
    try:
        explanation = EXPLANATIONS[Reason(reason)]
    except ValueError:
        # Stored by a later version.
        return "", ""
    return explanation.meaning, explanation.cure
