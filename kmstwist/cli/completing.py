"""Completions for values: names that this machine's server and its audit know, and the program's own.

They must be quick and silent, since they follow a key press: if something cannot be read, nothing is offered. The store
is opened for reading only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli.where import whereabouts
from kmstwist.system.rights import rights_in

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

#: The most names offered.
OFFERED = 100
#: The most seconds that a server or a store may take.
PATIENCE = 1.0

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _matching(names: Iterable[str], begun: str) -> list[str]:
    """The names with this beginning, ignoring case, as for machines and products."""
    begun = begun.casefold()
    return [name for name in names if name and name.casefold().startswith(begun)][:OFFERED]


def _quietly(complete: Complete) -> Complete:
    @wraps(complete)
    def quiet(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from sqlite3 import Error as SqliteError

        from kmstwist.audit.plain.faults import StoreError
        from kmstwist.configuration.mistakes import ConfigError
        from kmstwist.lab.keys import LabKeyError
        from kmstwist.process.control_client import CommandError

        try:
            return complete(ctx, param, incomplete)
        except (StoreError, SqliteError, OSError, CommandError, ConfigError, LabKeyError, click.ClickException):
            return []

    return quiet


def reports(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The audit's reports."""
    from kmstwist.audit.reports.subjects import SUMMARIES

    return _matching(SUMMARIES, incomplete)


def reasons(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Reason codes."""
    from kmstwist.reasons import Reason

    return _matching(map(str, Reason), incomplete)


def log_events(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The events of log lines."""
    from kmstwist.logevents import REGISTRY

    return _matching(sorted(REGISTRY), incomplete)


def products(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The products of the catalogue."""
    from kmstwist.kms.catalogue import products as catalogue

    return _matching((product.name for product in catalogue()), incomplete)


@_quietly
def upstreams(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The KMS hosts behind the running server; without one, those of the configuration."""
    from kmstwist.process.control_client import CommandError, ask, socket_path

    found = whereabouts(port=ctx.params.get("port"), run_dir=ctx.params.get("run_dir"))
    try:
        path = socket_path(found.run_dir.value, found.name.value)
        names = [each["name"] for each in ask(path, {"command": "upstreams"}, PATIENCE)["upstreams"]]
    except CommandError:
        names = [upstream.label for upstream in found.effective.config.gateway.upstreams]
    return _matching(names, incomplete)


@_quietly
def recorded_upstreams(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The KMS hosts that the audit has calls to."""
    return _recorded(ctx, "completed upstreams", "upstream", incomplete)


@_quietly
def recorded_machines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The machines that the audit knows, by name or address."""
    return _recorded(ctx, "completed machines", "name", incomplete)


@_quietly
def recorded_products(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The products that the audit has machines of."""
    return _recorded(ctx, "completed products", "product name", incomplete)


@_quietly
def lab_machines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The machines of the lab."""
    from kmstwist.lab.machines.store import MACHINES_FILE_NAME, names_in

    path = whereabouts(state_dir=ctx.params.get("state_dir")).state_dir.value / MACHINES_FILE_NAME
    with rights_in(path.absolute().parent):
        return _matching(names_in(path, PATIENCE), incomplete)


def _recorded(ctx: click.Context, question: str, condition: str, begun: str) -> list[str]:
    """The values of a column of the audit with this beginning."""
    from kmstwist.audit.asking.limits import like
    from kmstwist.audit.asking.questions import column
    from kmstwist.audit.reports.filters import MACHINES

    store = whereabouts(store=ctx.params.get("store")).store.value
    where = [like(MACHINES, condition, f"{begun.replace('*', '')}*")]
    with _central(store) if "://" in store else _embedded(Path(store)) as reader:
        return _matching(column(reader, question, where), begun)


@contextmanager
def _embedded(path: Path) -> Iterator[Reader]:
    from kmstwist.audit.asking.plain_sqlite import reading

    with rights_in(path.absolute().parent), reading(path, PATIENCE) as reader:
        yield reader


@contextmanager
def _central(store: str) -> Iterator[Reader]:
    from sqlalchemy.exc import SQLAlchemyError

    from kmstwist.audit.engine import open_central_reader, reading
    from kmstwist.audit.plain.faults import StoreError, plain_error

    engine = open_central_reader(store)
    try:
        with reading(engine) as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(plain_error(error)) from error
    finally:
        engine.dispose()
