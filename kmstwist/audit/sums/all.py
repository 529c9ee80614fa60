"""The list of the summary tables, and operations on all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from kmstwist.audit.records import Record
from kmstwist.audit.sums.hourly_activity import HOURLY_ACTIVITY
from kmstwist.audit.sums.hourly_failures import HOURLY_FAILURES
from kmstwist.audit.sums.machine_cmids import MACHINE_CMIDS
from kmstwist.audit.sums.machines import MACHINES
from kmstwist.audit.sums.table import SummaryTable

# They are written in this order, so that two writers never wait for each other.
SUMS: tuple[SummaryTable, ...] = (MACHINES, MACHINE_CMIDS, HOURLY_ACTIVITY, HOURLY_FAILURES)


def add(connection: Connection, records: Sequence[Record]) -> None:
    """Add a batch of new records to every sum, in the same transaction as the records themselves."""
    for each in SUMS:
        each.merge(connection, records)


def replace(connection: Connection, old: Record, new: Record) -> None:
    """Replace a record's contribution: it was stored as `old`, and is now stored as `new`."""
    for each in SUMS:
        each.replace(connection, old, new)


def remove(connection: Connection, record: Record) -> None:
    """Take a record out of every sum; it is no longer in the table of records."""
    for each in SUMS:
        if (gone := each.row(record)) is not None:
            each.withdraw(connection, record, gone)
