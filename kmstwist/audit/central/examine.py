"""A look at the central store from a gateway, for whoever asks how it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from kmstwist.audit import schema
from kmstwist.audit.central.forward import forwarded_up_to, target_name
from kmstwist.audit.central.salt import fingerprint, noted
from kmstwist.audit.engine import StoreError, open_engine, open_reader, plain_error, reading, with_patience
from kmstwist.audit.migrate import HEAD, current_revision, revision_fault
from kmstwist.audit.privacy import SaltError, load_salt
from kmstwist.shown import without_password

#: Seconds to wait for a lock there, and for an answer.
_LOCK_WAIT, _ANSWER_WAIT = 3.0, 10.0


@dataclass(frozen=True, slots=True)
class Examined:
    """The store's name, without user and password; why it cannot be fed, "" if it can; how many records wait for it.

    `behind` is None where the gateway's own store cannot tell.
    """

    name: str
    problem: str
    behind: int | None


def examine(forward_to: str, store: Path, *, hashes: bool) -> Examined:
    """Look at the central store as this gateway would feed it, which `hashes` fields or does not.

    Changes nothing; blocks, some seconds at most.
    """
    try:
        target = with_patience(open_engine(forward_to), lock=_LOCK_WAIT, statement=_ANSWER_WAIT)
    except StoreError as error:
        return Examined(without_password(forward_to), str(error), None)
    name = target_name(target)
    try:
        with reading(target) as connection:
            problem = _problem(connection, store.with_name("audit.salt") if hashes else None)
    except (SQLAlchemyError, StoreError, OSError) as error:
        problem = without_password(plain_error(error))
    finally:
        target.dispose()
    return Examined(name, problem, _behind(store, name))


def _problem(connection: Connection, salt_file: Path | None) -> str:
    if connection.dialect.name == "postgresql" and connection.scalar(text("SHOW transaction_read_only")) == "on":
        return "it is read-only at present: a standby, or its transactions are so by default"
    revision = current_revision(connection)
    if revision is not None:
        fault = revision_fault(connection)
        if fault and revision > HEAD:
            return fault
        if not _may_write(connection):
            return "this role may not write its tables"
        there = noted(connection)
        if there is not None and salt_file is not None and salt_file.exists():
            try:
                own = fingerprint(load_salt(salt_file))
            except SaltError as error:
                return str(error)
            if own != there:
                return f"its fields are hashed with another salt (fingerprint {there}) than this gateway's ({own})"
    return ""


def _may_write(connection: Connection) -> bool:
    granted = connection.execute(text("SELECT has_table_privilege('records', 'INSERT')")).scalar()
    return bool(granted)


def _behind(store: Path, name: str) -> int | None:
    if not store.exists():
        return None
    engine: Engine = open_reader(store)
    try:
        up_to = forwarded_up_to(engine, name)
        with reading(engine) as connection:
            newest = connection.scalar(select(func.max(schema.records.c.seq))) or 0
    except (SQLAlchemyError, OSError):
        # The check of that store says what is wrong with it.
        return None
    finally:
        engine.dispose()
    return max(newest - up_to, 0)
