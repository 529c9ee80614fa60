"""Machines: the list, and one of them with everything that is known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import Field, field_validator

from kmstwist.audit.reports.duplicates import DuplicateRow, duplicates
from kmstwist.audit.reports.filters import QueryError
from kmstwist.audit.reports.model import Query, moment, to_ms
from kmstwist.audit.views.calls import Became, CallRow, machine_calls
from kmstwist.audit.views.inventory import CmidRow, cmids_of
from kmstwist.audit.views.machines import (
    MachineRow,
    Order,
    State,
    Wanted,
    count_machines,
    list_machines,
    machine_rows,
    next_machines,
)
from kmstwist.audit.views.refusals import Meaning, meaning_of
from kmstwist.web.view import Asking, NotThere, View, WrongParameter
from kmstwist.web.views.parameters import PIECE, Moment, Named, Paged

#: With more rows than this before it, a page may be found quicker from the end.
FAR = 2000
#: Calls that one machine's page shows; earlier ones are a page further.
TIMELINE = 50


class MachinesQuestion(Paged):
    """Which machines, in which order."""

    search: str = Field(
        "",
        max_length=300,
        description="Part of a name, an address, a CMID or a product; * stands for any text.",
        examples=["pc-12", "10.1.*"],
    )
    state: State = Field(State.ALL, description="Only those in this state.")
    network: str = Field(
        "",
        max_length=64,
        description="In this network.",
        examples=["10.1.0.0/16"],
        json_schema_extra={"format": "network-or-nothing"},
    )
    product: str = Field("", max_length=300, description="With this product; * stands for any text.")
    host: str = Field("", max_length=300, description="Answered last by this KMS host.")
    code: str = Field("", max_length=40, description="Whose last call ended with this code.", examples=["0xC004F074"])
    days: int | None = Field(
        None, ge=0, le=3650, description="Days for the states expiring (30 if left out) and silent (14)."
    )
    sort: str = Field(
        "expires",
        max_length=20,
        description=f"One of {', '.join(Order)}; with - before it, the other way round.",
        json_schema_extra={"enum": [*Order, *(f"-{one}" for one in Order)]},
    )

    @field_validator("sort")
    @classmethod
    def _is_an_order(cls, text: str) -> str:
        if text.removeprefix("-") not in list(Order):
            raise ValueError(f"is not one of {', '.join(Order)}, or one of them with - before it")
        return text

    def wanted(self, now: datetime) -> Wanted:
        """The question as the audit is asked it."""
        return Wanted(
            now=now,
            search=self.search,
            state=self.state,
            network=self.network,
            product=self.product,
            host=self.host,
            code=self.code,
            days=self.days,
            order=Order(self.sort.removeprefix("-")),
            falling=self.sort.startswith("-"),
        )


@dataclass(frozen=True, slots=True)
class Machines:
    """A page of the list; `total` is how many rows there are in all, a machine's product each."""

    total: int
    page: int
    pages: int
    rows: Sequence[MachineRow]


def machines(asking: Asking, question: MachinesQuestion) -> Machines:
    """One page."""
    wanted = question.wanted(asking.now)
    try:
        far = question.offset > FAR
        total = _count(asking, wanted) if far else None
        rows = list_machines(asking.connection, wanted, question.rows, question.offset, total=total)
        # A page that is not full is the last one, so the total is known.
        if total is None:
            known = rows and len(rows) < question.rows
            total = question.offset + len(rows) if known else _count(asking, wanted)
    except QueryError as error:
        raise WrongParameter("network", str(error)) from None
    return Machines(total, question.page, max(1, -(-total // question.rows)), rows)


def _count(asking: Asking, wanted: Wanted) -> int:
    """How many rows there are; the next page need not count them again."""
    which = replace(wanted, now=datetime.min, order=Order.MACHINE, falling=False)
    return asking.keep(which, lambda asking: count_machines(asking.connection, replace(wanted, now=asking.now)))


def _pieces(
    asking: Asking, question: MachinesQuestion, after: Sequence[str]
) -> tuple[Sequence[MachineRow], Sequence[str]]:
    try:
        return next_machines(asking.connection, question.wanted(asking.now), PIECE, after)
    except QueryError as error:
        raise WrongParameter("network", str(error)) from None


class MachineQuestion(Named):
    """Which machine, and which part of its history."""

    before: Moment | None = Field(None, description="Only calls before this moment.")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. `earlier` is the moment before which there are more calls, None where all are shown.

    `code` is the status or reason of its last call that was not granted and after which none was, "" where all is
    well; `means` says what that is.
    """

    name: str
    addresses: Sequence[str]
    network: str
    rows: Sequence[MachineRow]
    cmids: Sequence[CmidRow]
    hosts: Sequence[str]
    code: str
    means: Meaning
    timeline: Sequence[CallRow]
    earlier: datetime | None

    @property
    def soonest(self) -> MachineRow | None:
        """The product that is not activated, or whose activation ends first."""
        return min(self.rows, key=lambda row: -math.inf if row.days_left is None else row.days_left, default=None)

    @property
    def last_seen(self) -> datetime | None:
        """When it called last, for whichever product."""
        return max((row.last_seen for row in self.rows), default=None)


def machine(asking: Asking, question: MachineQuestion) -> Machine:
    """Everything about one machine. Raises `NotThere`."""
    connection, name = asking.connection, question.name
    rows = machine_rows(connection, name, asking.now) or machine_rows(connection, name.lower(), asking.now)
    name = rows[0].machine if rows else name.lower()
    calls = machine_calls(connection, name, TIMELINE + 1, question.before)
    if not rows and not calls:
        raise NotThere(f"no machine named {question.name!r} is recorded")
    shown = calls[:TIMELINE]
    if len(calls) > TIMELINE:
        # The next page begins before the last moment that is shown: calls of one moment stay together.
        shown = [call for call in shown if call.at > calls[-1].at] or shown
    latest = max(rows, key=lambda row: row.last_seen, default=None)
    code = latest.code if latest is not None else next((call.code for call in shown), "")
    addresses = dict.fromkeys([*(row.address for row in rows), *(call.address for call in shown if call.address)])
    hosts = [row.host for row in rows] + [call.host for call in shown if call.became is not Became.EVENT]
    return Machine(
        name=name,
        addresses=list(addresses),
        network=latest.network if latest is not None else shown[0].network,
        rows=rows,
        cmids=cmids_of(connection, name),
        hosts=[host for host in dict.fromkeys(hosts) if host],
        code=code,
        means=meaning_of(code) if code else Meaning("", ""),
        timeline=shown,
        earlier=shown[-1].at if len(calls) > len(shown) else None,
    )


def _timeline_pieces(
    asking: Asking, question: MachineQuestion, after: Sequence[str]
) -> tuple[list[CallRow], list[str]]:
    """The key is the last row's moment in milliseconds, and how many rows of that moment were given."""
    connection = asking.connection
    if not after:
        found = machine(asking, question)
        name, until, given = found.name, question.before, 0
    else:
        name, given = after[2], int(after[1])
        until = moment(int(after[0]) + 1)
    rows = machine_calls(connection, name, PIECE + given, until)
    piece = rows[given:]
    if len(piece) < PIECE:
        return piece, []
    last = piece[-1].at
    return piece, [str(to_ms(last)), str(sum(row.at == last for row in rows)), name]


class DuplicatesQuestion(Paged):
    """Which page."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """CMIDs that several machines share, and machines that changed theirs."""

    page: int
    pages: int
    total: int
    rows: Sequence[DuplicateRow]


def _all_duplicates(asking: Asking) -> list[DuplicateRow]:
    return asking.keep("duplicates", lambda asking: list(duplicates(asking.connection, Query(asking.now)).rows))


def duplicate_cmids(asking: Asking, question: DuplicatesQuestion) -> Duplicates:
    """One page of them."""
    rows = _all_duplicates(asking)
    shown = rows[question.offset : question.offset + question.rows]
    return Duplicates(question.page, max(1, -(-len(rows) // question.rows)), len(rows), shown)


VIEWS = (
    View(
        "machines",
        "Machines",
        "The machines and how long their activations last: searched, filtered, sorted, a page at a time.",
        MachinesQuestion,
        Machines,
        machines,
        template="machines.html",
        row_type=MachineRow,
        rows=lambda answer: answer.rows,
        pieces=_pieces,
    ),
    View(
        "machine",
        "Machine",
        "One machine: its products and when they expire, its CMIDs, its calls and Windows events.",
        MachineQuestion,
        Machine,
        machine,
        template="machine.html",
        row_type=CallRow,
        rows=lambda answer: answer.timeline,
        pieces=_timeline_pieces,
    ),
    View(
        "duplicates",
        "Shared CMIDs",
        "CMIDs that several machines share, as cloned machines do, and machines that changed theirs.",
        DuplicatesQuestion,
        Duplicates,
        duplicate_cmids,
        template="duplicates.html",
        row_type=DuplicateRow,
        rows=lambda answer: answer.rows,
        pieces=lambda asking, question, after: (_all_duplicates(asking), ()),
        slow=True,
    ),
)
