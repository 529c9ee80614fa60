"""Forgetting one machine: everything the store holds about it goes, and its bytes are overwritten.

A machine is named by its name, its CMID or its address. The hourly totals stay: they are about nobody. How many calls
of each hour were forgotten is noted, so that `store.verify` knows why an hour has fewer records than its sum says.

Overwriting deleted rows is not enough: SQLite leaves copies of rows in pages it once divided. So a store that is not
large is rewritten as a whole; for a large one, which would hold the server's records up for too long, that is left to
the administrator.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, Table, delete, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import chunks
from kmstwist.audit.engine import is_sqlite, pragma, reading
from kmstwist.audit.privacy import Keep, Privacy
from kmstwist.audit.retention import rewrite, size_in_use
from kmstwist.audit.store import FORGOTTEN, forgotten_calls, put_fact
from kmstwist.audit.summaries import HOUR_MS

#: Bytes up to which a store is rewritten at once: a second or two of a slow disk.
REWRITTEN_UP_TO = 256 << 20
#: How many addresses, or machines, are told at most.
TOLD = 10


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of each kind went, and what is left to do.

    `wiped` says that the bytes are gone from the unused parts of the store's file too. `addresses` are those the
    machine called from under which calls that name no machine are still kept; `machines_there` the names of machines
    whose address was asked for, which are kept: a record that names its machine belongs to that name.
    """

    records: int
    events: int
    machines: int
    failures: int
    wiped: bool = False
    addresses: tuple[str, ...] = ()
    machines_there: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """No trace of the machine was found."""
        return not (self.records or self.events or self.machines or self.failures)


def forget(engine: Engine, machine: str, privacy: Privacy) -> Forgotten:
    """Remove a machine's traces: `machine` is its name, CMID or address, as an administrator knows it.

    It is looked for as `privacy` stored it. What privacy truncated stands for many machines and cannot be told apart;
    it is left alone. Blocks.
    """
    names = _as_stored(machine, privacy)
    with engine.connect() as plain:
        pragma(plain, "secure_delete=ON")
        connection = plain.execution_options(kmstwist_writing=True)
        with connection.begin():
            forgotten = _forget(connection, names)
    if not forgotten.nothing and is_sqlite(engine):
        forgotten = replace(forgotten, wiped=_wipe(engine))
    return forgotten


def _wipe(engine: Engine) -> bool:
    """Rewrite the store if it is not large; whether nothing of what was deleted is left in its files."""
    with reading(engine) as connection:
        size = size_in_use(connection)
    if size <= REWRITTEN_UP_TO:
        return rewrite(engine)
    with engine.connect() as connection:
        # The log still holds the pages as they were.
        pragma(connection, "wal_checkpoint(TRUNCATE)")
    return False


def _as_stored(machine: str, privacy: Privacy) -> set[str]:
    policy = privacy.policy
    found = {machine.lower()}
    for keep, stored in (
        (policy.machine, privacy.machine(machine)),
        (policy.cmid, privacy.cmid(machine)),
        (policy.client, privacy.address(machine, policy.client)),
    ):
        if keep is Keep.HASH and stored is not None:
            found.add(stored)
    return found


def _forget(connection: Connection, names: set[str]) -> Forgotten:
    cmids, machines, failures = schema.machine_cmids, schema.machines, schema.hourly_failures
    # A machine asked for by one of its names is known by all of them.
    known = names | set(connection.scalars(select(cmids.c.machine).where(cmids.c.cmid.in_(names))))

    def gone(table: Table, *where: ColumnElement[bool]) -> int:
        return connection.execute(delete(table).where(or_(*where))).rowcount

    addresses, number = _forget_records(connection, known)
    forgotten = Forgotten(
        records=number,
        events=gone(schema.events, _named(schema.events, known), schema.events.c.cmid.in_(names)),
        machines=gone(machines, machines.c.machine.in_(known)) + gone(cmids, cmids.c.machine.in_(known)),
        failures=gone(failures, failures.c.client.in_(known) & (failures.c.machine == ""), _named(failures, known)),
    )
    unnamed = select(machines.c.machine).where(machines.c.machine.in_(addresses)).order_by(machines.c.machine)
    there = select(machines.c.machine).where(machines.c.address.in_(names)).distinct().order_by(machines.c.machine)
    return replace(
        forgotten,
        addresses=tuple(connection.scalars(unnamed.limit(TOLD))),
        machines_there=tuple(connection.scalars(there.limit(TOLD))),
    )


def _forget_records(connection: Connection, known: set[str]) -> tuple[set[str], int]:
    """Delete the records of machines known by these names; the addresses they came from, and how many they were."""
    records = schema.records
    found = [
        row
        for its_own in (
            _named(records, known),
            # A record that names its machine belongs to that name, whoever had the address at the time.
            records.c.client.in_(known) & records.c.machine.is_(None),
        )
        for row in connection.execute(
            select(records.c.seq, records.c.at, records.c.client, records.c.version).where(its_own)
        )
    ]
    for chunk in chunks([row.seq for row in found]):
        connection.execute(delete(records).where(records.c.seq.in_(chunk)))
    _note_hours(connection, Counter(row.at // HOUR_MS for row in found if row.version is not None))
    return {row.client for row in found}, len(found)


def _note_hours(connection: Connection, calls: Mapping[int, int]) -> None:
    """Add to the number of calls forgotten in each hour."""
    if calls:
        put_fact(connection, FORGOTTEN, json.dumps(forgotten_calls(connection) + Counter(calls)))


def _named(table: Table, names: Iterable[str]) -> ColumnElement[bool]:
    # The first half lets SQLite read the index of names only, and not all records.
    return table.c.machine.is_not(None) & func.lower(table.c.machine).in_(names)
