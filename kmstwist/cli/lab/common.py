"""Code that the lab's commands share: the state folder, the lab's key, the machines, and messages for failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kmstwist.cli import where
from kmstwist.cli.common import ANY_PATH, AnyPath, FiniteRange
from kmstwist.kms.messages import MAX_MACHINE_NAME
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey, LabKeyError
from kmstwist.lab.machines.errors import Refused
from kmstwist.system.rights import rights_for_named

if TYPE_CHECKING:
    from kmstwist.lab.machines.store import MachineStore

CommandT = TypeVar("CommandT", bound=Callable[..., object])

_MACHINE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_STATE_DIR = click.option(
    "--state-dir",
    type=AnyPath(file_okay=False),
    help=f"The lab's state folder.  {where.AS_CONFIGURED}",
)
_LAB_KEY = click.option(
    "--lab-key",
    type=ANY_PATH,
    help="The lab's key file; by default the one in the state folder.",
)


_TIMEOUT = click.option(
    "--timeout", type=FiniteRange(0.1, 300), default=10.0, show_default=True, help="Seconds a host may take."
)


def timeout_option(command: CommandT) -> CommandT:
    """Give a command --timeout."""
    return _TIMEOUT(command)


def state_dir_option(command: CommandT) -> CommandT:
    """Give a command --state-dir."""
    return _STATE_DIR(command)


def lab_key_option(command: CommandT) -> CommandT:
    """Give a command --lab-key."""
    return _LAB_KEY(command)


def state_folder(given: Path | None) -> Path:
    """The state folder: the one given, or the configured one. The command acts as its owner from now on."""
    return where.keep_rights_in(given or where.state_dir(None))


def load_key(lab_key: Path | None, folder: Path) -> LabKey:
    """The lab's key."""
    with lab_errors_explained():
        return load_lab_key(lab_key, folder)


def load_lab_key(lab_key: Path | None, folder: Path) -> LabKey:
    """The lab's key: the one given, or the one in the state folder. Raises `LabKeyError`."""
    if lab_key is None:
        return LabKey.load(folder / KEY_FILE_NAME)
    with rights_for_named(lab_key):
        return LabKey.load(lab_key)


def key_if_any(lab_key: Path | None, folder: Path) -> LabKey | None:
    """The lab's key, or None."""
    return load_key(lab_key, folder) if lab_key is not None or (folder / KEY_FILE_NAME).exists() else None


def checked_machine_name(name: str) -> str:
    """A valid machine name; raises `Refused` for others."""
    if not _MACHINE_NAME.fullmatch(name) or len(name) > MAX_MACHINE_NAME:
        raise Refused(
            f'"{name}" is not a machine name: letters, digits, hyphens and underscores, at most '
            f"{MAX_MACHINE_NAME} in all"
        )
    return name


@contextmanager
def lab_errors_explained() -> Iterator[None]:
    """Turn the lab's own errors into messages of the command."""
    try:
        yield
    except LabKeyError as error:
        raise click.ClickException(f"{error}, or name the lab's key with --lab-key") from None
    except (LabFileError, Refused) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def held_machines(folder: Path, *names: str) -> Iterator[MachineStore]:
    """The machines of a state folder, with these of them locked until the command has ended."""

    def waiting() -> None:
        click.echo("Another command is using this machine; waiting until it has ended.", err=True)

    with machine_store(folder) as store, store.held(names, waiting):
        yield store


@contextmanager
def machine_store(folder: Path) -> Iterator[MachineStore]:
    """The machines of a state folder, open during a command."""
    from kmstwist.lab.machines.store import MACHINES_FILE_NAME, MachineStore

    with lab_errors_explained():
        store = MachineStore(folder / MACHINES_FILE_NAME)
        try:
            yield store
        finally:
            store.close()
