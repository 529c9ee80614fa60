"""The option `--store` of the commands that work on the audit, and opening the store that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli.output import say
from kmstwist.cli.where import config_errors_explained, whereabouts
from kmstwist.configuration.whereabouts import STORE_VARIABLE
from kmstwist.shown import url_without_password, without_password
from kmstwist.system.rights import rights_in
from kmstwist.system.sqlitecodes import Trouble, trouble_of

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from rich.progress import Progress, ProgressColumn
    from sqlalchemy import Engine

    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

# A command may wait for the server's commits, and for a step of its retention.
PATIENCE = 30.0


def default_store() -> str:
    """Where this machine's configured server keeps its audit. Raises `ClickException`."""
    with config_errors_explained():
        return whereabouts().store.value


def origin_of(store: str) -> str:
    """What named this store: an option, a variable, a line of the configuration, or the default."""
    with config_errors_explained():
        found = whereabouts().store
    return found.origin if found.value == store else "--store"


def newest_record(reader: Reader) -> datetime | None:
    """When the newest record of a store was made; None in an empty one."""
    from kmstwist.audit.asking.questions import value
    from kmstwist.audit.reports.model import maybe_moment

    return maybe_moment(value(reader, "newest record"))


def told_source(store: str, newest: datetime | None, now: datetime) -> str:
    """A sentence that says which store was read, why that one, and how old its newest record is."""
    if newest is None:
        age = "it has no records"
    else:
        age = f"its newest record is from {newest:%Y-%m-%d %H:%M} UTC, {plain_age((now - newest).total_seconds())}"
    return f"Read from {url_without_password(store)} (from {origin_of(store)}); {age}."


def plain_age(seconds: float) -> str:
    """How long ago something was, in the largest unit that fits."""
    if seconds < 0:
        return "ahead of this machine's clock"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "less than a minute ago"


def store_option(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command the option `--store`, passed on as `store`."""
    return click.option(
        "--store",
        metavar="FILE|URL",
        default=default_store,
        envvar=STORE_VARIABLE,
        show_default="as configured; `kmstwist config where` shows it",
        show_envvar=True,
        help="The audit's store: an SQLite file, or postgresql://... for the central one.",
    )(command)


@contextmanager
def opened(store: str, *, writes: bool = False, makes: bool = False) -> Iterator[Engine]:
    """Open the store, which must exist and be of this version; its errors become sentences for the user.

    With `makes`, a missing file becomes a new store. Unless the command `writes`, a file is opened for reading only:
    nothing is changed in it or made beside it, so a copy on a read-only medium works.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from kmstwist.audit.engine import is_sqlite, open_engine, open_reader, sqlite_path
    from kmstwist.audit.migrate import revision_fault

    with ExitStack() as rights, _explained(store, SQLAlchemyError):
        engine = open_engine(store, busy_timeout=PATIENCE)
        if is_sqlite(engine):
            path = sqlite_path(engine)
            _check_place(rights, store, path, writes=writes, makes=makes)
            if not writes:
                engine = open_reader(path, busy_timeout=PATIENCE)
        try:
            with engine.connect() as connection:
                fault = revision_fault(connection)
            _check_revision(store, fault)
            yield engine
        finally:
            engine.dispose()


@contextmanager
def store_at(store: str, *, writes: bool = False, makes: bool = False) -> Iterator[Store]:
    """As `opened`, for transactions (`asking.transactions`). For a file SQLAlchemy is not loaded."""
    if "://" in store:
        with opened(store, writes=writes, makes=makes) as engine:
            yield engine
        return
    from kmstwist.audit.asking.plain_sqlite import connect, connect_to_write
    from kmstwist.audit.asking.transactions import PlainStore

    connected = connect_to_write if writes else connect
    with _file_of(store, writes=writes, makes=makes) as path, closing(connected(path, PATIENCE)) as connection:
        _check_revision_in(store, connection)
        yield PlainStore(connection)


@contextmanager
def read_from(store: str) -> Iterator[Reader]:
    """Read the store in one transaction; otherwise as `store_at`."""
    from kmstwist.audit.asking.transactions import reading

    with store_at(store) as opened_store, reading(opened_store) as reader:
        yield reader


@contextmanager
def file_to_copy(store: str) -> Iterator[Path]:
    """The file of the embedded store, checked and kept open as `opened` does. For a file SQLAlchemy is not loaded."""
    if "://" in store:
        from kmstwist.audit.engine import sqlite_path

        with opened(store) as engine:
            yield sqlite_path(engine)
        return
    from kmstwist.audit.asking.plain_sqlite import connect

    with _file_of(store, writes=False) as path, closing(connect(path, PATIENCE)) as connection:
        _check_revision_in(store, connection)
        yield path


@contextmanager
def _file_of(store: str, *, writes: bool, makes: bool = False) -> Iterator[Path]:
    """The path of a store that is a file, which this user may read, or write; errors become sentences for the user.

    With `makes`, a missing file becomes a new store.
    """
    path = Path(store)
    with ExitStack() as rights, _explained(store):
        _check_place(rights, store, path, writes=writes, makes=makes)
        yield path


def _check_place(rights: ExitStack, store: str, path: Path, *, writes: bool, makes: bool) -> None:
    """Raise `ClickException` if this user cannot read, or write, the store's file. The folder's rights are entered."""
    rights.enter_context(rights_in(path.parent))
    _check_sight(path)
    if makes and not path.exists():
        _make(path)
    _check_file(store, path, writes=writes)


def _make(path: Path) -> None:
    """Make a new store. Raises StoreError."""
    from kmstwist.audit.plain.start_check import is_ready

    if not is_ready(path, make=True):
        from kmstwist.audit.engine import open_engine
        from kmstwist.audit.migrate import migrate

        engine = open_engine(str(path), busy_timeout=PATIENCE)
        try:
            migrate(engine)
        finally:
            engine.dispose()
    say(f"{path}: made a new store", err=True)


@contextmanager
def _explained(store: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn a store's errors, and these others, into sentences for the user."""
    import sqlite3

    from kmstwist.audit.plain.faults import StoreError, plain_error

    told: tuple[type[Exception], ...] = (StoreError, sqlite3.Error, OSError, *errors)
    try:
        yield
    except told as error:
        said = without_password(plain_error(error))
        shown = url_without_password(store)
        # Some errors name the store themselves.
        which = "" if said.startswith(f"the audit store {shown} ") else f"the audit store {shown}: "
        raise click.ClickException(f"{which}{said}{_cure(error)}") from error


def _check_sight(path: Path) -> None:
    """Raise `ClickException` if this user may not look into the file's folder."""
    if not _may_look(path):
        raise click.ClickException(f"the audit store {path} cannot be seen by this user; run the command with sudo")


def _check_file(store: str, path: Path, *, writes: bool) -> None:
    """Raise `ClickException` if there is no file that this user may read, or write."""
    if not path.exists():
        raise click.ClickException(
            f"there is no audit store at {url_without_password(str(path))} (from {origin_of(store)}); name it "
            "with --store, or its configuration with kmstwist --config FILE; a server makes it when it starts, "
            "unless [audit] is off"
        )
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder; name the audit store's file, such as audit.sqlite")
    if not path.is_file():
        raise click.ClickException(f"{path} is no file; name the audit store's file, such as audit.sqlite")
    if writes and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise click.ClickException(
            f"the audit store {path} is on a file system that is mounted read-only; mount it for writing"
        )
    if not os.access(path, os.W_OK if writes else os.R_OK, effective_ids=True):
        raise click.ClickException(
            f"the audit store {path} cannot be {'written' if writes else 'read'} by this user; run the command "
            "with sudo"
        )


def _check_revision_in(store: str, connection: sqlite3.Connection) -> None:
    """Raise `ClickException` if this version cannot work with the store's tables."""
    from kmstwist.audit.plain.revision import fault_of, revision_in

    connection.execute("BEGIN")
    fault = fault_of(revision_in(connection), embedded=True)
    connection.execute("ROLLBACK")
    _check_revision(store, fault)


def _check_revision(store: str, fault: str | None) -> None:
    if fault is not None:
        raise click.ClickException(f"the audit store {url_without_password(store)}: {fault}")


def _may_look(path: Path) -> bool:
    """Whether this user may look into the file's folder; true if there is none."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _cure(error: BaseException) -> str:
    """What to do about an error of SQLite or of the system."""
    trouble = trouble_of(error)
    if trouble is Trouble.DAMAGED:
        return "; restore it from a backup (docs/backup.md)"
    if trouble is Trouble.NO_STORE:
        return "; name the store that the server's configuration has"
    return f"; {trouble}" if trouble else ""


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on standard error that leaves nothing behind; invisible unless that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
