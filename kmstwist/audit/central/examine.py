"""A look at the central store from a gateway, for checks and commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from kmstwist.audit import schema
from kmstwist.audit.central.acceptance import why_not
from kmstwist.audit.central.targets import forwarded_up_to, target_name
from kmstwist.audit.engine import open_engine, open_reader, reading, with_patience
from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.audit.privacy import SaltError, load_salt
from kmstwist.shown import url_without_password, without_password

#: Seconds to wait for a lock there, and for an answer.
_LOCK_WAIT, _ANSWER_WAIT = 3.0, 10.0


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found: the store's name (without user and password), `problem` and `behind`.

    `problem` says why it cannot be fed, "" if it can; `behind` is how many records wait for it, None if the gateway's
    own store cannot tell.
    """

    name: str
    problem: str
    behind: int | None


def examine(forward_to: str, store: Path, *, hashes: bool) -> Examined:
    """Look at the central store as this gateway would feed it; `hashes` says whether it hashes fields.

    Changes nothing; blocks, some seconds at most.
    """
    try:
        target = with_patience(open_engine(forward_to), lock=_LOCK_WAIT, statement=_ANSWER_WAIT)
    except StoreError as error:
        return Examined(url_without_password(forward_to), str(error), None)
    name = target_name(target)
    try:
        salt = _salt(store.with_name("audit.salt")) if hashes else b""
        with reading(target) as connection:
            problem = why_not(connection, salt)
    except (SQLAlchemyError, StoreError, OSError) as error:
        problem = without_password(plain_error(error))
    finally:
        target.dispose()
    return Examined(name, problem, _behind(store, name))


def _salt(file: Path) -> bytes:
    """This gateway's salt; empty if it has not made one yet. Raises `StoreError`."""
    try:
        return load_salt(file) if file.exists() else b""
    except SaltError as error:
        raise StoreError.of(error) from None


def _behind(store: Path, name: str) -> int | None:
    if not store.exists():
        return None
    engine: Engine = open_reader(store)
    try:
        up_to = forwarded_up_to(engine, name)
        with reading(engine) as connection:
            newest = connection.scalar(select(func.max(schema.records.c.seq))) or 0
    except (SQLAlchemyError, OSError):
        # Another check says what is wrong with that store.
        return None
    finally:
        engine.dispose()
    return max(newest - up_to, 0)
