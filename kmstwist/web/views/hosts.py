"""KMS hosts: those behind the gateway, one of them, strangers in DNS; and a lab's own host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kmstwist.audit.reports.model import Query
from kmstwist.audit.reports.strangers import StrangerRow, strangers
from kmstwist.audit.views.calls import CallRow, Which, latest_calls
from kmstwist.audit.views.hosts import Asked, asked, machines_of
from kmstwist.audit.views.machines import MachineRow, Order, Wanted, list_machines
from kmstwist.telemetry.counters import LabState
from kmstwist.web.view import Asking, NotThere, View
from kmstwist.web.views.parameters import Named, Nothing, Since
from kmstwist.web.views.rows import HostRow, host_rows

#: Calls that one host's page shows.
LATEST = 20


@dataclass(frozen=True, slots=True)
class Hosts:
    """The KMS hosts, with their calls of the days asked for; `mode` is gateway or lab."""

    mode: str
    days: int
    rows: Sequence[HostRow]


def hosts(asking: Asking, question: Since) -> Hosts:
    """Those that are asked, and those that were."""
    snapshot = asking.status.snapshot
    return Hosts(snapshot.mode, question.days, host_rows(snapshot, _numbers(asking, question.days)))


def _numbers(asking: Asking, days: int) -> Mapping[str, Asked] | None:
    if asking.store is None:
        return None
    return asking.keep(f"asked {days}", lambda asking: asked(asking.connection, asking.now - timedelta(days=days)))


class HostQuestion(Named, Since):
    """Which host, and over how many days."""


@dataclass(frozen=True, slots=True)
class Host:
    """One KMS host; `machines` is how many machines it answered last."""

    host: HostRow
    days: int
    machines: int
    calls: Sequence[CallRow]


def host(asking: Asking, question: HostQuestion) -> Host:
    """One host. Raises `NotThere`."""
    rows = host_rows(asking.status.snapshot, _numbers(asking, question.days))
    found = next((row for row in rows if row.name == question.name), None)
    if found is None:
        # It may have answered longer ago than was asked.
        rows = host_rows(asking.status.snapshot, _numbers(asking, 3650))
        found = next((row for row in rows if row.name == question.name), None)
    if found is None:
        raise NotThere(f"no KMS host named {question.name!r} is configured, and none has answered")
    store = asking.store
    number = 0
    if store is not None:
        number = asking.keep(("host", question.name), lambda asking: machines_of(asking.connection, question.name))
    calls = [] if store is None else latest_calls(store, Which(host=question.name), LATEST)
    return Host(found, question.days, number, calls)


@dataclass(frozen=True, slots=True)
class Strangers:
    """KMS hosts that DNS names and nobody configured: those that are there, then those that have gone.

    `watched` are the domains that are looked at now, each with how many strangers are in it.
    """

    watched: Mapping[str, int]
    rows: Sequence[StrangerRow]


def _strangers(asking: Asking, question: Nothing) -> Strangers:
    found = asking.status.snapshot.strangers
    rows = strangers(asking.connection, Query(asking.now)).rows
    return Strangers({domain: len(each) for domain, each in found.items()}, rows)


@dataclass(frozen=True, slots=True)
class Lab:
    """The lab's own host: who it is, what it counts, what it was asked. None on a gateway.

    `machines` are those that called last.
    """

    lab: LabState | None
    machines: Sequence[MachineRow]


def _lab(asking: Asking, question: Nothing) -> Lab:
    state, store = asking.status.snapshot.lab, asking.store
    if state is None or store is None:
        return Lab(state, [])
    wanted = Wanted(asking.now, order=Order.LAST_SEEN, falling=True)
    return Lab(state, list_machines(store, wanted, LATEST))


VIEWS = (
    View(
        "hosts",
        "KMS hosts",
        "The KMS hosts behind the gateway: health, weight, share, last error, and their calls.",
        Since,
        Hosts,
        hosts,
        template="hosts.html",
        row_type=HostRow,
        rows=lambda answer: answer.rows,
    ),
    View(
        "host",
        "KMS host",
        "One KMS host: its state, its numbers, its last calls.",
        HostQuestion,
        Host,
        host,
        template="host.html",
        row_type=CallRow,
        rows=lambda answer: answer.calls,
    ),
    View(
        "strangers",
        "Strangers",
        "KMS hosts that DNS names and nobody configured.",
        Nothing,
        Strangers,
        _strangers,
        template="strangers.html",
        row_type=StrangerRow,
        rows=lambda answer: answer.rows,
    ),
    View(
        "lab",
        "Lab host",
        "A lab's own KMS host: its id, its intervals, its count against each threshold.",
        Nothing,
        Lab,
        _lab,
        template="lab.html",
    ),
)
