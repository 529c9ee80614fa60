"""Forgetting one machine: everything the store holds about it goes, and its bytes are overwritten.

A machine is named by its name, its CMID or its address. The hourly totals stay: they are about nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, delete, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.engine import pragma
from kmstwist.audit.privacy import Keep, Privacy


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of each kind went."""

    records: int
    events: int
    machines: int
    failures: int

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
            forgotten = _delete(connection, names)
        # The log still holds the pages as they were; emptying it takes those too.
        pragma(plain, "wal_checkpoint(TRUNCATE)")
        pragma(plain, "secure_delete=OFF")
    return forgotten


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


def _delete(connection: Connection, names: set[str]) -> Forgotten:
    records, cmids, machines = schema.records, schema.machine_cmids, schema.machines
    # A machine asked for by one of its names is known by all of them.
    known = names | set(connection.scalars(select(cmids.c.machine).where(cmids.c.cmid.in_(names))))

    def gone(table: Table, *where: ColumnElement[bool]) -> int:
        return connection.execute(delete(table).where(or_(*where))).rowcount

    # A record that names its machine belongs to that name, whoever had the address at the time.
    by_address = (records.c.client.in_(known)) & (records.c.machine.is_(None))
    return Forgotten(
        records=gone(records, _named(records, known), _cmid(records, names), by_address),
        events=gone(schema.events, _named(schema.events, known), _cmid(schema.events, names)),
        machines=gone(machines, machines.c.machine.in_(known)) + gone(cmids, cmids.c.machine.in_(known)),
        failures=gone(
            schema.hourly_failures, schema.hourly_failures.c.client.in_(known), _named(schema.hourly_failures, known)
        ),
    )


def _named(table: Table, names: Iterable[str]) -> ColumnElement[bool]:
    return func.lower(table.c.machine).in_(names)


def _cmid(table: Table, names: Iterable[str]) -> ColumnElement[bool]:
    return table.c.cmid.in_(names)
