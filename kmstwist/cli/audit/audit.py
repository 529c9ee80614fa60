"""`kmstwist audit`: maintenance of the audit's store: vacuum, backup, verify, forget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli import completing
from kmstwist.cli.audit.salt import salt, salt_beside, salt_file_option
from kmstwist.cli.audit.store import file_to_copy, progress_bar, store_at, store_option
from kmstwist.cli.common import AnyPath
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say, say_json
from kmstwist.shown import counted
from kmstwist.system.rights import rights_for_named

if TYPE_CHECKING:
    from kmstwist.audit.asking.transactions import Store
    from kmstwist.audit.privacy import Privacy

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """A number of bytes such as `500M` or `2G` (powers of 1024)."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,12})([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise click.BadParameter(f"{text!r} is not a size; write it as 500M or 2G")
    return int(found[1]) * _UNITS[found[2]]


@click.group(cls=LazyGroup)
def audit() -> None:
    """Maintain the audit's store."""


@audit.command()
@store_option
@click.option("--older-than", metavar="AGE", help="Delete records older than this, such as 400d.")
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=_bytes,
    help="Delete the oldest records until the store is no larger, such as 2G.",
)
@click.option("--full", is_flag=True, help="Rewrite the whole file (SQLite); the server's records wait meanwhile.")
def vacuum(store: str, older_than: str | None, max_size: int | None, full: bool) -> None:
    """Delete records that are too old or too many, and free their space. Works while a server runs."""
    from rich.progress import SpinnerColumn, TextColumn

    from kmstwist.audit.asking.transactions import is_embedded
    from kmstwist.audit.reports.times import parse_duration
    from kmstwist.audit.upkeep.limits import FLOOR, Limits
    from kmstwist.audit.upkeep.retention import Outcome, prune, rewrite

    try:
        days = parse_duration(older_than).total_seconds() / 86400 if older_than is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from error
    deleted, outcome = 0, Outcome()
    with store_at(store, writes=True) as opened:
        if max_size is not None and not is_embedded(opened):
            raise click.UsageError("--max-size is for the embedded store; give --older-than for PostgreSQL")
        with progress_bar(SpinnerColumn(), TextColumn("{task.description}")) as progress:
            task = progress.add_task("vacuuming")
            now = int(datetime.now(UTC).timestamp() * 1000)
            for rows in prune(opened, Limits(days, max_size, FLOOR), now, outcome=outcome):
                deleted += rows
                progress.update(task, description=f"vacuuming, {counted(deleted, 'row')} deleted")
        if full:
            rewrite(opened)
    click.echo(f"{counted(deleted, 'row')} deleted")
    if outcome.over:
        click.echo(f"the store still has {outcome.size} bytes; the newest {FLOOR} records and their sums are kept")


@audit.command()
@store_option
@click.argument("target", type=AnyPath(dir_okay=False))
def backup(store: str, target: Path) -> None:
    """Copy the store to the file TARGET while the server runs.

    The copy is consistent.
    """
    from kmstwist.audit.upkeep.backup import backup as copy

    with file_to_copy(store) as source, progress_bar() as progress:
        task = progress.add_task("copying", total=None)
        copy(source, target, lambda left, total: progress.update(task, total=total, completed=total - left))
    with rights_for_named(target):
        say(f"the audit store is copied to {target} ({target.lstat().st_size} bytes)")


@audit.command()
@json_option
@store_option
def verify(as_json: bool, store: str) -> None:
    """Check that the store is sound and its sums are right.

    They must agree with its records.
    """
    from kmstwist.audit.upkeep.verify import TOLD
    from kmstwist.audit.upkeep.verify import verify as faults_of

    with store_at(store) as opened:
        faults = faults_of(opened)
    more = len(faults) > TOLD
    if as_json:
        say_json({"sound": not faults, "faults": faults[:TOLD], "more": more})
    else:
        for fault in faults[:TOLD]:
            click.echo(fault)
    if faults:
        many = "a fault" if len(faults) == 1 else f"more than {TOLD} faults" if more else f"{len(faults)} faults"
        raise click.ClickException(f"the audit store has {many}; restore it from a backup")
    if not as_json:
        click.echo("the audit store is sound")


@audit.command()
@store_option
@salt_file_option
@click.argument("machine", shell_complete=completing.recorded_machines)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def forget(store: str, salt_file: Path | None, machine: str, yes: bool) -> None:
    """Remove every trace of MACHINE: its name, CMID or address. This cannot be undone.

    In a central store any of its gateways can do it, with the salt that they share.
    """
    from kmstwist.audit.asking.facts import stored_privacy, targets
    from kmstwist.audit.asking.transactions import is_embedded
    from kmstwist.audit.upkeep.forget import TOLD
    from kmstwist.audit.upkeep.forget import forget as remove

    def listed(names: Sequence[str]) -> str:
        return ", ".join(names[:TOLD]) + (" and others" if len(names) > TOLD else "")

    with store_at(store, writes=True) as opened:
        if not yes:
            click.confirm(f"Remove every trace of {machine}?", abort=True)
        embedded = is_embedded(opened)
        privacy = stored_privacy(opened) if embedded else _privacy_of_central(opened, salt_beside(store, salt_file))
        gone = remove(opened, machine, privacy)
        elsewhere = targets(opened) if embedded else []
    others = f"it is the address of {listed(gone.machines_there)}, which can be forgotten by name"
    if gone.nothing and gone.machines_there:
        raise click.ClickException(f"nothing is kept under {machine} itself and nothing was removed; {others}")
    if gone.nothing:
        raise click.ClickException(f"the audit knows nothing of {machine}; nothing was removed")
    click.echo(
        f"removed {counted(gone.records, 'record')}, {counted(gone.events, 'event')}, "
        f"{counted(gone.machines, 'row')} of machines, {gone.failures} of failures"
    )
    if gone.machines_there:
        click.echo(others)
    if gone.addresses:
        click.echo(
            f"it called from {listed(gone.addresses)}: calls from there that name no machine are kept; forget the "
            "address too if they are its own"
        )
    if not gone.wiped:
        cure = "kmstwist audit vacuum --full (records wait meanwhile)" if embedded else "VACUUM FULL in PostgreSQL"
        click.echo(f"unused parts of the store's files may still hold some of its bytes; to clear them: {cure}")
    for target in elsewhere:
        click.echo(f"{target} still has what was forwarded: run kmstwist audit forget with --store for it, too")


def _privacy_of_central(store: Store, salt_file: Path) -> Privacy:
    from sqlalchemy import Engine

    from kmstwist.audit.central.salt import privacy_of_central

    assert isinstance(store, Engine), "a central store is no file"
    return privacy_of_central(store, salt_file)


audit.add_command(salt)
