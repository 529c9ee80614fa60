"""Forgetting one machine: everything the store holds about it goes, and its bytes are overwritten.

A machine is named by its name, its CMID or its address. The hourly totals stay: they are about nobody. How many calls
of each hour were forgotten is noted, so that `verify` knows why an hour has fewer records than its sum says.

Overwriting deleted rows is not enough: SQLite leaves copies of rows in pages that it once split. So a store that is not
large is rewritten as a whole; for a large one, which would block the server's records too long, that is left to the
administrator.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, delete, or_, select

from kmstwist.audit import schema
from kmstwist.audit.asking.questions import read_fact
from kmstwist.audit.engine import is_sqlite, pragma, reading
from kmstwist.audit.privacy import Keep, Privacy
from kmstwist.audit.rows import from_row
from kmstwist.audit.store import put_fact
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.grouping import named
from kmstwist.audit.sums.hourly_activity import HOURLY_ACTIVITY
from kmstwist.audit.sums.table import SummaryTable
from kmstwist.audit.upkeep.retention import rewrite, size_in_use

# A fact about the store: how many calls of each hour were forgotten.
FORGOTTEN = "forgotten"
# Records deleted at a time.
STEP = 1000
#: Bytes up to which a store is rewritten at once: a second or two of a slow disk.
REWRITTEN_UP_TO = 256 << 20
#: The most addresses, or machines, that are listed.
TOLD = 10


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of each kind went, and what is left to do.

    `wiped` says that the bytes are gone from the unused parts of the store's file too. `addresses` are the machine's
    addresses for which calls without a machine's name are still kept; `machines_there` are the names of machines whose
    address was asked for, and which are kept: a record with a name belongs to that name.
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
        """Whether no trace of the machine was found."""
        return not (self.records or self.events or self.machines or self.failures)


def forget(engine: Engine, machine: str, privacy: Privacy) -> Forgotten:
    """Remove a machine's traces: `machine` is its name, CMID or address, as an administrator knows it.

    It is searched in the form in which `privacy` stored it. Truncated values belong to many machines and cannot be
    distinguished, so they are left alone. Blocks.
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
    """Rewrite the store if it is not large. Returns whether nothing deleted is left in its files."""
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
    cmids, machines, events = schema.machine_cmids, schema.machines, schema.events
    # A machine that is given by one of its names is forgotten under all of them.
    known = names | set(connection.scalars(select(cmids.c.machine).where(cmids.c.cmid.in_(names))))
    addresses, number = _forget_records(connection, known)
    of_events = or_(named(events, known), events.c.cmid.in_(names))
    gone = {each: _forget_rows(connection, each, known) for each in SUMS}
    forgotten = Forgotten(
        records=number,
        events=connection.execute(delete(events).where(of_events)).rowcount,
        machines=sum(rows for each, rows in gone.items() if not each.hourly),
        failures=sum(rows for each, rows in gone.items() if each.hourly),
    )
    unnamed = select(machines.c.machine).where(machines.c.machine.in_(addresses)).order_by(machines.c.machine)
    there = select(machines.c.machine).where(machines.c.address.in_(names)).distinct().order_by(machines.c.machine)
    return replace(
        forgotten,
        addresses=tuple(connection.scalars(unnamed.limit(TOLD))),
        machines_there=tuple(connection.scalars(there.limit(TOLD))),
    )


def _forget_rows(connection: Connection, table: SummaryTable, names: set[str]) -> int:
    """Delete a summary table's rows about these machines; how many they were."""
    about = table.about(names)
    return 0 if about is None else connection.execute(delete(table.table).where(about)).rowcount


def _forget_records(connection: Connection, known: set[str]) -> tuple[set[str], int]:
    """Delete the records of machines known by these names; the addresses they came from, and how many they were."""
    records = schema.records
    addresses: set[str] = set()
    hours: Counter[int] = Counter()
    number = 0
    for its_own in (
        named(records, known),
        # A record that names its machine belongs to that name, whoever had the address at the time.
        records.c.client.in_(known) & records.c.machine.is_(None),
    ):
        some = select(records).where(its_own).order_by(records.c.seq).limit(STEP)
        while found := connection.execute(some).all():
            connection.execute(delete(records).where(records.c.seq.in_([row.seq for row in found])))
            number += len(found)
            for record in map(from_row, found):
                addresses.add(record.client)
                if (row := HOURLY_ACTIVITY.row(record)) is not None:
                    hours[row["hour"]] += row["calls"]
    if hours:
        put_fact(connection, FORGOTTEN, json.dumps(forgotten_calls(connection) + hours))
    return addresses, number


def forgotten_calls(connection: Connection) -> Counter[int]:
    """How many calls of each hour (since 1970) were forgotten: they are in the sums and no longer in the records."""
    noted: dict[str, int] = json.loads(read_fact(connection, FORGOTTEN) or "{}")
    return Counter({int(hour): calls for hour, calls in noted.items()})
