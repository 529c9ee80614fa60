"""Transactions on a store, of SQLAlchemy's or of a connection of SQLite's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeAlias

from kmstwist.audit.asking.plain_sqlite import PlainConnection
from kmstwist.audit.asking.prepared import sqlite_of

# What works on a file by SQLite's own module loads none of it.
if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kmstwist.audit.asking.questions import Reader

    Store: TypeAlias = Engine | "PlainStore"


class PlainStore:
    """An SQLite store over one connection of Python's own module, which begins no transaction by itself."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection


def reading(store: Store) -> AbstractContextManager[Reader]:
    """Read in one transaction: one consistent view, which does not wait for writers."""
    if isinstance(store, PlainStore):
        return _begun(store.connection, "BEGIN")
    from kmstwist.audit.engine import reading as reading_all

    return reading_all(store)


def writing(store: Store) -> AbstractContextManager[Reader]:
    """Write in one transaction, committed at the end, rolled back on any exception."""
    if isinstance(store, PlainStore):
        return _begun(store.connection, "BEGIN IMMEDIATE")
    from kmstwist.audit.engine import writing as writing_all

    return writing_all(store)


@contextmanager
def outside(store: Store) -> Iterator[sqlite3.Connection | None]:
    """SQLite's own connection outside any transaction, as some PRAGMAs need it; None for PostgreSQL."""
    if isinstance(store, PlainStore):
        yield store.connection
        return
    with store.connect() as connection:
        yield sqlite_of(connection)


def is_embedded(store: Store) -> bool:
    """Whether the store is SQLite's."""
    return isinstance(store, PlainStore) or store.dialect.name == "sqlite"


@contextmanager
def _begun(connection: sqlite3.Connection, begin: str) -> Iterator[PlainConnection]:
    connection.execute(begin)
    try:
        yield PlainConnection(connection)
    except BaseException:
        # SQLite has rolled back by itself after some errors, such as a full disk.
        connection.rollback()
        raise
    connection.commit()
