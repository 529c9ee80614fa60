"""Opening a store: SQLite in WAL mode, or PostgreSQL, behind one SQLAlchemy engine.

SQLite runs with `synchronous=FULL`: a commit has reached the disk, so an acknowledged record outlives the process and
the machine. Group commit (`writer`) makes that cheap. Write transactions begin with `BEGIN IMMEDIATE`, so that two
writers wait for each other instead of failing half way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from kmstwist.audit.aside.pragmas import ANY, DEFAULT_BUSY_TIMEOUT, KEPT_SMALL, LOGGED, SERVING, WRITING
from kmstwist.audit.asking.plain_sqlite import lower
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.records import first_id_at
from kmstwist.shown import url_without_password
from kmstwist.system.extras import install_command
from kmstwist.system.sqlitefiles import uri_for_reading

# A server that falls silent (its machine lost power, the network failed) is detected within a minute, not two hours.
_POSTGRESQL = {
    "application_name": "kmstwist",
    # Without this, the driver returns bytes for text from a database without an encoding (SQL_ASCII).
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

#: Seconds that a page of the site waits for a lock in the central store, and for an answer.
_LOCK_WAIT, _READ_WAIT = 5.0, 120.0


def store_url(store: str) -> URL:
    """The URL of a store given as a URL (`postgresql://...`, `sqlite:///...`) or as the path of an SQLite file.

    A plain `postgresql://` means psycopg 3. Raises StoreError for a URL of another kind.
    """
    if "://" not in store:
        return URL.create("sqlite", database=str(Path(store)))
    try:
        url = make_url(store)
    except (ArgumentError, ValueError):
        url = None
    # The parser's message may quote parts of a password that is not written as a URL needs it.
    if url is None or "@" in (url.host or "") or "@" in (url.database or ""):
        raise StoreError(
            f"{url_without_password(store)!r} is not a URL of a store: an @, / or : in its user or password is written "
            "as %40, %2F or %3A, and a port is a number",
            "give a file's path or a postgresql:// URL",
        )
    match url.drivername:
        case "sqlite":
            return url
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(
                f"{other!r} is not a kind of store", "give the path of an SQLite file or a postgresql:// URL"
            )


def open_engine(store: str, *, busy_timeout: float = DEFAULT_BUSY_TIMEOUT, serving: bool = False) -> Engine:
    """An engine on the store; `busy_timeout` is how long (seconds) to wait for another process's lock.

    `serving`: for a server, which has it as long as it runs; its connections keep fewer pages in memory.

    Opens no connection yet. Raises StoreError if the URL is wrong or PostgreSQL's driver is missing.
    """
    url = store_url(store)
    if url.drivername == "sqlite":
        engine = create_engine(url, connect_args={"timeout": busy_timeout, "isolation_level": None})
        event.listen(engine, "connect", _prepare_sqlite)
        if serving:
            event.listen(engine, "connect", _keep_few_pages)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args=_POSTGRESQL)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError("PostgreSQL needs psycopg 3", install_command("postgres")) from error
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def with_patience(engine: Engine, *, lock: float, statement: float = 0.0) -> Engine:
    """The same engine; its transactions in PostgreSQL wait at most `lock` seconds for a lock, `statement` for an
    answer.

    0 means no limit. Without this, a transaction waits as long as somebody keeps a table locked.
    """
    return engine.execution_options(kmstwist_patience=(lock, statement))


def open_reader(path: Path, *, busy_timeout: float = DEFAULT_BUSY_TIMEOUT, serving: bool = False) -> Engine:
    """An engine that can only read the SQLite store at `path`, even in a folder that cannot be written to.

    `serving` is as in `open_engine`. Opens no connection yet, and never makes the file: without one, connecting fails.
    """
    url = URL.create("sqlite", database=str(path.absolute()))
    engine = create_engine(url, connect_args={"timeout": busy_timeout, "isolation_level": None})
    event.listen(engine, "do_connect", _for_reading)
    event.listen(engine, "connect", _prepare_any_sqlite)
    if serving:
        event.listen(engine, "connect", _keep_few_pages)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def open_central_reader(store: str) -> Engine:
    """An engine that can only read the PostgreSQL at a URL. Opens no connection yet. Raises StoreError."""
    engine = open_engine(store)
    if is_sqlite(engine):
        raise StoreError("a central store is a PostgreSQL", "give a postgresql:// URL")
    return with_patience(engine.execution_options(postgresql_readonly=True), lock=_LOCK_WAIT, statement=_READ_WAIT)


def _for_reading(_dialect: object, _record: object, arguments: list[Any], named: dict[str, Any]) -> None:
    """Make SQLite open the file for reading only, in its present state."""
    arguments[0] = uri_for_reading(Path(arguments[0]))
    named["uri"] = True


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    ((pages,),) = cursor.execute("PRAGMA page_count").fetchall()
    for each in (*(() if pages else (KEPT_SMALL,)), LOGGED, *WRITING):
        cursor.execute(each)
    cursor.close()
    _prepare_any_sqlite(connection, _record)


def _prepare_any_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for each in ANY:
        cursor.execute(each)
    cursor.close()
    connection.create_function("lower", 1, lower, deterministic=True)
    connection.create_function("first_id_at", 1, first_id_at, deterministic=True)


def _keep_few_pages(connection: Any, _record: object) -> None:
    connection.execute(SERVING)


def _begin_postgresql(connection: Connection) -> None:
    patience = connection.get_execution_options().get("kmstwist_patience")
    if patience is not None:
        # For the transaction only: a connection pooler may give the session to somebody else afterwards.
        lock, statement = (round(seconds * 1000) for seconds in patience)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("kmstwist_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in a read transaction: one consistent view, which does not wait for writers."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a write transaction, committed at the end, rolled back on any exception."""
    with engine.connect() as plain:
        connection = plain.execution_options(kmstwist_writing=True)
        with connection.begin():
            yield connection


def vacuum(engine: Engine) -> None:
    """Free what was deleted in a PostgreSQL."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")


def is_sqlite(engine: Engine) -> bool:
    """Whether the store is the embedded SQLite one."""
    return engine.dialect.name == "sqlite"


def sqlite_path(engine: Engine) -> Path:
    """The store's file. Raises StoreError for a store that is not SQLite's."""
    if not is_sqlite(engine) or not engine.url.database:
        raise StoreError("this works on the embedded SQLite store only", "PostgreSQL brings its own tools for it")
    return Path(engine.url.database)
