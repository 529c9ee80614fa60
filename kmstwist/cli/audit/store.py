"""The option `--store` of the commands that work on the audit, and the opening of what it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kmstwist.cli.output import say
from kmstwist.shown import without_password

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn
    from sqlalchemy import Engine

STORE_VARIABLE = "KMSTWIST_AUDIT_STORE"

# A command may wait for the server's commits, and for a step of its retention.
PATIENCE = 30.0


def default_store() -> str:
    """Where a server that was told nothing else keeps its audit: a gateway's, or a lab's where there is only that."""
    from kmstwist.audit.settings import LAB_STORE_FILE_NAME, STORE_FILE_NAME
    from kmstwist.lab.keys import default_state_dir

    folder = default_state_dir()
    gateway, lab = folder / STORE_FILE_NAME, folder / LAB_STORE_FILE_NAME
    return str(lab if lab.exists() and not gateway.exists() else gateway)


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--store`, passed on as `store`."""
    return click.option(
        "--store",
        metavar="FILE|URL",
        default=default_store,
        envvar=STORE_VARIABLE,
        show_default="audit.sqlite in the state folder, or lab-audit.sqlite",
        show_envvar=True,
        help="The audit's store: an SQLite file, or postgresql://... for the central one.",
    )(command)


@contextmanager
def opened(store: str, *, writes: bool = False, makes: bool = False) -> Iterator[Engine]:
    """The store, which must exist and be of this version; any error of it as a sentence for the user.

    A command that `makes` one needs none: where there is no file, it becomes a store. Unless the command `writes`, a
    file is opened for reading only: nothing is changed in it or made beside it, and a copy on a read-only medium will
    do.
    """
    import sqlite3

    from sqlalchemy.exc import SQLAlchemyError

    from kmstwist.audit.engine import StoreError, is_sqlite, open_engine, open_reader, plain_error, sqlite_path
    from kmstwist.audit.migrate import migrate, revision_fault

    shown = without_password(store)
    try:
        engine = open_engine(store, busy_timeout=PATIENCE)
        if is_sqlite(engine):
            path = sqlite_path(engine)
            if makes and not path.exists():
                migrate(engine)
                say(f"{path}: made a new store", err=True)
            if not path.exists():
                raise click.ClickException(
                    f"there is no audit store at {path}; name it with --store, as the server's configuration has it"
                )
            if path.is_dir():
                raise click.ClickException(f"{path} is a folder; name the audit store's file, such as audit.sqlite")
            if not os.access(path, os.W_OK if writes else os.R_OK):
                raise click.ClickException(
                    f"the audit store {path} cannot be {'written' if writes else 'read'} by this user; try it as the "
                    "server's user, or as root"
                )
            if not writes:
                engine = open_reader(path, busy_timeout=PATIENCE)
        try:
            with engine.connect() as connection:
                fault = revision_fault(connection)
            if fault is not None:
                raise click.ClickException(f"the audit store {shown}: {fault}")
            yield engine
        finally:
            engine.dispose()
    except (StoreError, SQLAlchemyError, sqlite3.Error, OSError) as error:
        said = without_password(plain_error(error))
        raise click.ClickException(f"the audit store {shown}: {said}{_cure(said)}") from error


def _cure(error: str) -> str:
    """What to do about an error of SQLite's that does not say so itself."""
    cures = {
        "malformed": "restore it from a backup (docs/backup.md)",
        "locked": "something else is writing to it for long; try again later",
        "disk is full": "make room on its disk",
        "not a database": "name the store that the server's configuration has",
    }
    return next((f"; {cure}" for words, cure in cures.items() if words in error), "")


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on standard error that leaves nothing behind; invisible where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
