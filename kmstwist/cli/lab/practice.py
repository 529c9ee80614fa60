"""`kmstwist lab slmgr`, `ospp`, `events`, `confirm`, `hostkey`: the administrator's commands on lab machines."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import click

from kmstwist.cli.common import run_reactor
from kmstwist.cli.lab.common import (
    asking_on,
    held_machines,
    lab_key_option,
    load_key,
    machine_store,
    state_dir_option,
    state_folder,
    timeout_option,
    told,
)
from kmstwist.kms.status import Status
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import activate
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.machines.session import Session, moment
from kmstwist.lab.ospp import client as ospp_client
from kmstwist.lab.ospp import options as ospp_options
from kmstwist.lab.slmgr import client as slmgr_client
from kmstwist.lab.slmgr import host as slmgr_host
from kmstwist.lab.slmgr import options as slmgr_options
from kmstwist.lab.slmgr.host import HOST
from kmstwist.lab.store import STORE_FILE_NAME, LabStore

ResultT = TypeVar("ResultT")
_RAW = {"ignore_unknown_options": True}


@click.command(context_settings=_RAW, epilog="Options of slmgr:\b\n\n\b\n" + slmgr_options.usage())
@click.argument("machine")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMPUTER [USER PASSWORD]] /OPTION [ARGUMENT]...")
@timeout_option
@state_dir_option
@lab_key_option
@click.pass_context
def slmgr(
    ctx: click.Context,
    machine: str,
    words: tuple[str, ...],
    timeout: float,
    state_dir: Path | None,
    lab_key: Path | None,
) -> None:
    """Run slmgr on a lab MACHINE; the lab host's name is `host`.

    With a COMPUTER before the option, as Windows has it, MACHINE manages that one over the network; the lab takes any
    user and password.
    """
    folder = state_folder(state_dir)
    with told():
        computer, line = slmgr_options.elsewhere(words)
        option, arguments = slmgr_options.read(line)
    key = load_key(lab_key, folder)
    try:
        target = _target(folder, machine, computer)
        if target.lower() == HOST:
            lines = _on_host(folder, key, option, arguments)
        else:
            lines = _on_machine(
                folder, target, key, timeout, lambda session: slmgr_client.run(session, option, arguments)
            )
    except _Failed as failed:
        _print_failure(failed.error)
        ctx.exit(1)
    for line in lines:
        click.echo(line)


@click.command(context_settings=_RAW, epilog="Options of ospp:\b\n\n\b\n" + ospp_options.usage())
@click.argument("machine")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="/OPTION[:VALUE] [COMPUTER [USER PASSWORD]]")
@timeout_option
@state_dir_option
@lab_key_option
@click.pass_context
def ospp(
    ctx: click.Context,
    machine: str,
    words: tuple[str, ...],
    timeout: float,
    state_dir: Path | None,
    lab_key: Path | None,
) -> None:
    """Run ospp on a lab MACHINE with Office.

    With a COMPUTER after the option, as Office has it, MACHINE manages that one over the network; the lab takes any
    user and password.
    """
    folder = state_folder(state_dir)
    with told():
        computer, line = ospp_options.elsewhere(words)
        option, value = ospp_options.read(line)
    key = load_key(lab_key, folder)
    try:
        target = _target(folder, machine, computer)
        printed = _on_machine(folder, target, key, timeout, lambda session: ospp_client.run(session, option, value))
    except _Failed as failed:
        _print_failure(failed.error)
        ctx.exit(1)
    for line in printed.lines:
        click.echo(line)
    ctx.exit(0 if printed.failed is None else 1)


@click.command()
@click.argument("machine")
@click.option("--last", type=click.IntRange(1), help="Only so many, the latest.")
@state_dir_option
def events(machine: str, last: int | None, state_dir: Path | None) -> None:
    """Print a machine's event log: 12288 for each request sent, 12289 for each answer processed."""
    with machine_store(state_folder(state_dir)) as store:
        found = store.get(machine)
        logged = store.events(machine, last)
    if not logged:
        click.echo(f"{found.name} has logged no event yet; slmgr /ato and ospp /act make it ask.")
    for event in logged:
        click.echo(f"{moment(event.at)}  Event {event.number}  ({event.product})\n{event.text}\n")


@click.command()
@click.argument("installation_id", nargs=-1, required=True)
@state_dir_option
@lab_key_option
def confirm(installation_id: tuple[str, ...], state_dir: Path | None, lab_key: Path | None) -> None:
    """The lab's telephone: give it an installation id of the lab's and it gives the confirmation id."""
    key = load_key(lab_key, state_folder(state_dir))
    try:
        click.echo(confirmation_id(key, " ".join(installation_id)))
    except Published as error:
        raise click.ClickException(
            f"{error} (0x{error.code:08X}): an installation id is what slmgr /dti or ospp /dinstid printed"
        ) from None


@click.command()
@state_dir_option
@lab_key_option
def hostkey(state_dir: Path | None, lab_key: Path | None) -> None:
    """Print the lab's own host key, for practising slmgr /ipk on the lab host. It means nothing to Windows."""
    click.echo(load_key(lab_key, state_folder(state_dir)).host_key)


def activate_machines(names: Sequence[str], state_dir: Path | None, lab_key: Path | None, timeout: float) -> int:
    """Have every product of these machines activate, one after the other; the exit status."""
    folder = state_folder(state_dir)
    key = load_key(lab_key, folder)
    failed = 0
    names = list(dict.fromkeys(name.casefold() for name in names))
    with held_machines(folder, *names) as store:
        found = [store.get(name) for name in names]

        async def main(reactor: Any) -> list[tuple[str, str, Published | None]]:
            asking = asking_on(reactor, key, timeout)
            told: list[tuple[str, str, Published | None]] = []
            for machine in found:
                for licence in machine.licences:
                    try:
                        await activate(machine, licence, asking)
                    except Published as error:
                        told.append((machine.name, licence.product.name, error))
                    else:
                        told.append((machine.name, licence.product.name, None))
            return told

        try:
            outcomes = run_reactor(main)
        finally:
            for machine in found:
                store.save(machine)
    for name, product, error in outcomes:
        failed += error is not None
        click.echo(f"{name}  {product}: {'licensed for 180 days' if error is None else error}")
    return 1 if failed else 0


class _Failed(Exception):
    def __init__(self, error: Published) -> None:
        super().__init__(str(error))
        self.error = error


def _target(folder: Path, machine: str, computer: str | None) -> str:
    """The machine a command acts on: its own, or the other one it names; both have to be there."""
    if computer is None:
        return machine
    with machine_store(folder) as store:
        if machine.lower() != HOST:
            store.get(machine)
        if computer.lower() != HOST:
            try:
                store.get(computer)
            except Refused as error:
                raise _Failed(Published(Status.E_RPC_SERVER_UNAVAILABLE, f"To the lab, {error}.")) from None
    return computer


def _on_machine(
    folder: Path,
    name: str,
    key: LabKey,
    timeout: float,
    command: Callable[[Session], Awaitable[ResultT]],
) -> ResultT:
    """Run a command on a machine and keep what it changed, also where it failed: an attempt is an attempt."""
    with held_machines(folder, name) as store:
        found = store.get(name)

        async def main(reactor: Any) -> ResultT:
            session = Session(found, key, asking_on(reactor, key, timeout), uuid4, lambda: store.events(found.name))
            return await command(session)

        try:
            return run_reactor(main)
        except Published as error:
            raise _Failed(error) from None
        finally:
            store.save(found)


def _on_host(folder: Path, key: LabKey, option: slmgr_options.Option, arguments: list[str]) -> list[str]:
    with told():
        store = LabStore(folder / STORE_FILE_NAME)
        try:
            session = slmgr_host.HostSession(
                key, store.load(), store.load_settings(), time.time(), store.load_running()
            )
            before = session.settings
            try:
                lines = slmgr_host.run(session, option, arguments)
            except Published as error:
                raise _Failed(error) from None
            if session.settings != before:
                store.save_settings(session.settings)
        finally:
            store.close()
    return lines


def _print_failure(error: Published) -> None:
    for line in error.before:
        click.echo(line)
    click.echo(f"Error: 0x{error.code:08X} {error.description}")
    if error.more:
        click.echo(error.more)
    if error.cure:
        click.echo(f"Cure: {error.cure}")
