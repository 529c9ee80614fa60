"""Records for tests, made in one line; time in whole hours and days from a fixed start."""

from __future__ import annotations

import sqlite3
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from twisted.internet.defer import Deferred

from kmstwist.audit.asking.prepared import sqlite_of
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.revision import MIGRATIONS
from kmstwist.audit.records import Record, RecordIds
from kmstwist.audit.service import AuditService
from kmstwist.audit.writer import AuditWriter
from kmstwist.reasons import Reason

HOUR = 3_600_000
DAY = 24 * HOUR
# 2024-06-01 00:00 UTC, a whole hour and day.
START = 1_717_200_000_000

WINDOWS = "55c92734-d682-4d71-983e-d6ec3f16059f"
OFFICE = "0ff1ce15-a989-479d-af46-f275c6370663"

_SPACE = UUID("8a3f3c1e-0000-4000-8000-000000000000")
_counter = count()


def counting(size: int) -> bytes:
    """Entropy that never repeats and is the same in every run; in steps, since ids count on within a millisecond."""
    return (next(_counter) << 20).to_bytes(size, "big")


IDS = RecordIds(counting)


def uuid(name: str) -> str:
    return str(uuid5(_SPACE, name))


def opaque(at: int, client: str = "10.0.0.7", **changes: Any) -> Record:
    """A genuine V6 call that a host answered: nothing of its body is known."""
    values: dict[str, Any] = {
        "record_id": IDS.make(at),
        "at": at,
        "gateway": "gw1",
        "client": client,
        "reason": Reason.OK,
        "version": 6,
        "upstream": "kms1",
        "hresult": 0,
        "bytes_in": 260,
        "bytes_out": 180,
    }
    return Record(**(values | changes))


def known(at: int, machine: str, client: str = "10.0.0.7", **changes: Any) -> Record:
    """A call whose body could be read: a Windows client that needs 25 and was told 50."""
    values: dict[str, Any] = {
        "version": 4,
        "machine": machine,
        "cmid": uuid(machine),
        "app_id": WINDOWS,
        "act_id": uuid("Windows 10 Enterprise"),
        "product": "Windows 10 Enterprise",
        "license_status": 1,
        "virtual_machine": False,
        "minutes_left": 250000,
        "required_count": 25,
        "count": 50,
    }
    return opaque(at, client, **(values | changes))


def refusal(at: int, client: str = "192.0.2.9", reason: Reason = Reason.RPC_NOT_RPC, **changes: Any) -> Record:
    """A peer turned away before any KMS message."""
    values: dict[str, Any] = {"reason": reason, "version": None, "upstream": None, "hresult": None, "bytes_out": 0}
    return opaque(at, client, **(values | changes))


def at_first_release(engine: Engine) -> None:
    """Make the tables of the first release, with a machine of each kind in them and what it is known for."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for app, act_id in ((WINDOWS, uuid("11")), (OFFICE, uuid("o21")), ("", None)):
            machine = {"machine": f"pc-{act_id}", "app": app, "act_id": act_id, "address": "10.0.0.1"}
            values = {**machine, "named": 1, "network": "10.0.0.0/24", "gateway": "gw1", "first_seen": START}
            values |= {"last_seen": START + 5, "last_success": START + 4, "last_reason": "ok", "last_status": 0}
            _insert(connection, "machines", {**values, "calls": 3, "successes": 2})
        cmid = {"machine": "pc-1", "app": WINDOWS, "cmid": uuid("PC1"), "address": "10.0.0.1", "required_count": 25}
        _insert(connection, "machine_cmids", {**cmid, "first_seen": START, "last_seen": START + 5, "calls": 3})
        failure = {"hour": START // HOUR, "client": "10.0.0.1", "reason": "ok", "kind": "hresult", "status": 0xC004F06C}
        told = {"network": "10.0.0.0/24", "upstream": "kms1", "machine": "pc-1", "first_at": START, "last_at": START}
        _insert(connection, "hourly_failures", {**failure, **told, "calls": 2})
        connection.commit()


def _insert(connection: Connection, table: str, values: dict[str, Any]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def new_store(folder: Path, name: str = "audit.sqlite", **options: Any) -> Engine:
    engine = open_engine(str(folder / name), **options)
    migrate(engine)
    return engine


def recorded(audit: AuditService | AuditWriter, record: Record) -> Deferred[None]:
    """Have a record taken; fires when its call may go on, fails where it may not."""
    told: Deferred[None] = Deferred()
    audit.take(record, lambda why: told.callback(None) if why is None else told.errback(why))
    return told


def driver_of(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection below one of SQLAlchemy's."""
    found = sqlite_of(connection)
    assert found is not None
    return found
