"""The option `--store` of the commands that work on the audit, and the opening of what it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

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
def opened(store: str) -> Iterator[Engine]:
    """The store, which must exist and be of this version; any error of it as a sentence for the user."""
    from sqlalchemy.exc import SQLAlchemyError

    from kmstwist.audit.engine import StoreError, is_sqlite, open_engine, plain_error, sqlite_path
    from kmstwist.audit.migrate import current_revision, head_revision

    try:
        engine = open_engine(store, busy_timeout=PATIENCE)
        if is_sqlite(engine) and not sqlite_path(engine).exists():
            raise click.ClickException(
                f"there is no audit store at {sqlite_path(engine)}; name it with --store, as the server's "
                "configuration has it"
            )
        with engine.connect() as connection:
            revision = current_revision(connection)
        if revision != head_revision():
            raise click.ClickException(
                f"{store} is no audit store of this version of kmstwist (its tables are at revision {revision}); "
                "start the server on it once, which brings it up to date"
            )
        yield engine
        engine.dispose()
    except (StoreError, SQLAlchemyError, OSError) as error:
        raise click.ClickException(f"the audit store {_without_password(store)}: {plain_error(error)}") from error


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on standard error that leaves nothing behind; invisible where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _without_password(store: str) -> str:
    from kmstwist.audit.engine import StoreError, store_url

    try:
        return store_url(store).render_as_string(hide_password=True)
    except StoreError:
        return store
