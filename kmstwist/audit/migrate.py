"""Bringing a store's tables to this version's shape at start: a new one at once, an older one with Alembic.

Two processes may start together on one store: each takes a lock first (a lock file beside an SQLite store, an
advisory lock in PostgreSQL), so the second finds the work done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, String, Table, inspect, text
from sqlalchemy.exc import DBAPIError

from kmstwist.audit import schema
from kmstwist.audit.engine import is_sqlite, sqlite_path
from kmstwist.audit.plain.faults import StoreError, StoreUnavailable, may_pass, plain_error
from kmstwist.audit.plain.revision import MIGRATIONS, fault_of, is_known
from kmstwist.audit.plain.start_check import ALL_COLUMNS, HEAD, by_table, lock_of, locked, new_tables, own_number
from kmstwist.system.sqlitecodes import Trouble, trouble_of

#: What to do about a file that is not a store any more.
_SPOILT = "move it away, and a new one is made, or put a backup in its place"

# Any number that no other program on the same database uses: "kmstwist" in ASCII, as a signed 64-bit integer.
ADVISORY_LOCK = int.from_bytes(b"kmstwist", "big")


def migrate(engine: Engine) -> None:
    """Create or upgrade the store's tables. Does nothing to a store that is up to date.

    Raises StoreError if the store cannot be opened, or was made by a later version of kmstwist.
    """
    with _checked(engine) as connection:
        revision = current_revision(connection)
        if revision != HEAD:
            schema.complete_for(connection.dialect.name)
            begun = monotonic()
            if revision is None:
                _make(connection)
            else:
                _upgrade(connection)
                if fault := _unfinished(connection, HEAD):
                    # Not committed: the store stays as it was.
                    raise StoreError(f"the audit store {_name(engine)} {fault}")
            connection.commit()
            if revision is not None:
                _tell_upgraded(engine, revision, monotonic() - begun)
            if is_sqlite(engine) and not connection.exec_driver_sql("PRAGMA user_version").scalar_one():
                connection.exec_driver_sql(own_number())
                connection.commit()


def _tell_upgraded(engine: Engine, revision: str, seconds: float) -> None:
    # Here, because commands that read a store have no log.
    from twisted.logger import Logger

    from kmstwist.logevents import AUDIT_STORE_UPGRADED

    AUDIT_STORE_UPGRADED.emit(
        Logger(), store=_name(engine), from_revision=revision, to_revision=HEAD, seconds=round(seconds, 1)
    )


def check(engine: Engine) -> None:
    """Raise the StoreError that `migrate` would raise, and change no table."""
    with _checked(engine):
        pass


def current_revision(connection: Connection) -> str | None:
    """The revision of the store's tables; None for a store without tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def revision_fault(connection: Connection) -> str | None:
    """Why this version of kmstwist cannot work with the store's tables, and the cure; None if it can."""
    return fault_of(current_revision(connection), embedded=connection.dialect.name == "sqlite")


def _unfinished(connection: Connection, revision: str | None) -> str | None:
    """What is wrong with tables that an unreleased version made; None for all others."""
    cure = "a version under development made it; move it away, and a new one is made, or restore a backup"
    found = _columns(connection)
    if revision is None and not found.keys() & schema.metadata.tables.keys():
        # A database in PostgreSQL may have others' tables; a file is somebody's alone.
        others = found and connection.dialect.name == "sqlite"
        return "is another program's database; name another file, or move this one away" if others else None
    if revision is None:
        return f"has tables and no revision: {cure}"
    if revision != HEAD:
        return None
    for table in schema.metadata.sorted_tables:
        if table.name not in found:
            return f"is at revision {revision} and has no table {table.name}: {cure}"
        missing = {column.name for column in table.c} - found[table.name]
        if missing:
            return f"is at revision {revision} and its table {table.name} has no {min(missing)}: {cure}"
    return None


def _columns(connection: Connection) -> dict[str, set[str]]:
    """The store's tables, each with the names of its columns."""
    if connection.dialect.name == "sqlite":
        return by_table((table, column) for table, column in connection.exec_driver_sql(ALL_COLUMNS))
    look = inspect(connection)
    return {
        table: {each["name"] for each in look.get_columns(table)}
        for table in look.get_table_names()
        if table in schema.metadata.tables
    }


def _make(connection: Connection) -> None:
    """Make the tables of a new store, as all revisions one after the other would (a test compares the two)."""
    if connection.dialect.name == "sqlite":
        for statement in new_tables():
            connection.exec_driver_sql(statement)
        return
    # It was checked before that none of them exists.
    schema.metadata.create_all(connection, checkfirst=False)
    revisions = Table(
        "alembic_version",
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    revisions.create(connection)
    connection.execute(revisions.insert().values(version_num=HEAD))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _checked(engine: Engine) -> Iterator[Connection]:
    """A locked connection to a store that this version can upgrade. Raises StoreError for any other store."""
    name = _name(engine)
    try:
        with _locked(engine) as connection:
            revision = current_revision(connection)
            if revision not in (None, HEAD) and not is_known(str(revision)):
                raise StoreError(
                    f"the audit store {name} was made by another version of kmstwist (its tables are at revision "
                    f"{revision})",
                    "install that version or a later one",
                )
            if fault := _unfinished(connection, revision):
                raise StoreError(f"the audit store {name} {fault}")
            yield connection
    except (DBAPIError, OSError) as error:
        trouble = trouble_of(error)
        kind = StoreUnavailable if may_pass(error) or _was_one(engine, error) else StoreError
        cure = f"{trouble}: {_SPOILT}" if trouble in (Trouble.DAMAGED, Trouble.NO_STORE) else str(trouble)
        raise kind(f"the audit store {name} cannot be opened: {plain_error(error)}", cure) from error


def _name(engine: Engine) -> str:
    return str(sqlite_path(engine)) if is_sqlite(engine) else engine.url.render_as_string()


def _was_one(engine: Engine, error: DBAPIError | OSError) -> bool:
    """Whether a server has used this store before: then the obstacle (a read-only folder or file system, a folder in
    the file's place) is not a mistake in the configuration."""
    if not is_sqlite(engine):
        return False
    out = isinstance(error, OSError) or trouble_of(error) in (Trouble.READONLY, Trouble.CANNOT_OPEN)
    return out and lock_of(sqlite_path(engine)).exists()


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    if not is_sqlite(engine):
        with engine.connect() as connection:
            # The session holds the lock, so it ends with the connection even if this process is killed.
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
            try:
                yield connection
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
                connection.commit()
        return
    with locked(sqlite_path(engine)), engine.connect() as connection:
        yield connection
