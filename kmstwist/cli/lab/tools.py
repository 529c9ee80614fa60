"""Running slmgr and ospp on a lab machine, or on the lab host, and printing the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import click

from kmstwist.cli.lab.common import held_machines, lab_errors_explained, load_key, machine_store, state_folder
from kmstwist.kms.status import Status
from kmstwist.lab.host_settings import HOST
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines import regions
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.lab.machines.session import Misused, Output, Session
from kmstwist.lab.ospp import client as ospp_client
from kmstwist.lab.ospp import options as ospp_options
from kmstwist.lab.ospp.texts import BEGIN, END
from kmstwist.lab.slmgr import client as slmgr_client
from kmstwist.lab.slmgr import host as slmgr_host
from kmstwist.lab.slmgr import options as slmgr_options
from kmstwist.lab.slmgr.texts import connection_line

_UNREACHED = int(Status.E_RPC_SERVER_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where tools work: the lab's folder and key, the seconds a host may take, the region for dates (None: each
    machine's own).
    """

    state_dir: Path | None
    lab_key: Path | None
    timeout: float
    region: str | None = None

    @property
    def folder(self) -> Path:
        """The state folder."""
        return state_folder(self.state_dir)


def slmgr(bench: Bench, machine: str, words: Sequence[str]) -> Output:
    """Run slmgr's command line on a machine; `ClickException` for what is wrong with the lab itself."""
    _machine_first("slmgr", machine, words)
    try:
        computer, line = slmgr_options.elsewhere(words)
        missing = None if computer is None else _missing(bench.folder, machine, computer)
        if computer is not None and missing is not None:
            return Output([connection_line(computer)], [missing], _UNREACHED)
        option, arguments, notes = slmgr_options.read(line)
    except Misused as misused:
        _check_there(bench.folder, machine)
        return misused.output
    target = computer or machine
    if target.lower() == HOST:
        output = _on_host(bench, option, arguments)
    else:
        output = _on_machine(
            bench,
            target,
            lambda session: slmgr_client.run(session, option, arguments),
            asks=slmgr_client.asks_a_host(option),
        )
    output.notes += notes
    return output


def ospp(bench: Bench, machine: str, words: Sequence[str]) -> Output:
    """Run ospp's command line on a machine; `ClickException` for what is wrong with the lab itself."""
    _machine_first("ospp", machine, words)
    try:
        computer, line = ospp_options.elsewhere(words)
        missing = None if computer is None else _missing(bench.folder, machine, computer)
        if missing is not None:
            return Output([*BEGIN, *END], ["The remote server machine does not exist or is unavailable.", missing])
        option, value = ospp_options.read(line)
    except Misused as misused:
        _check_there(bench.folder, machine)
        return misused.output
    target = computer or machine
    if target.lower() == HOST:
        raise click.ClickException("the lab host has no Office: ospp acts on a lab machine")
    return _on_machine(
        bench, target, lambda session: ospp_client.run(session, option, value), asks=ospp_client.asks_a_host(option)
    )


def tell(output: Output, *, quiet: bool) -> None:
    """Print what Windows prints on standard output, and the lab's own notes on standard error unless `quiet`."""
    for line in output.lines:
        click.echo(line)
    if quiet:
        return
    for note in output.notes:
        click.echo(note, err=True)
    if output.code:
        signed = output.code - (1 << 32) if output.code > 0x7FFF_FFFF else output.code
        click.echo(f"On Windows the script ends with {signed} (0x{output.code:08X}).", err=True)


def _machine_first(tool: str, machine: str, words: Sequence[str]) -> None:
    """Raise `UsageError` where the option stands before the machine."""
    if machine[:1] in "/-":
        name = words[0] if words else "MACHINE"
        raise click.UsageError(f"the machine comes before the option: kmstwist lab {tool} {name} {machine}")


def _check_there(folder: Path, machine: str) -> None:
    if machine.lower() != HOST:
        with machine_store(folder) as store:
            store.get(machine)


def _missing(folder: Path, machine: str, computer: str) -> str | None:
    """Why another computer cannot be reached; None if it can. The machine that asks must exist."""
    _check_there(folder, machine)
    if computer.lower() == HOST:
        return None
    with machine_store(folder) as store:
        try:
            store.get(computer)
        except Refused as error:
            return f"To the lab, {error}."
    return None


def _on_machine(
    bench: Bench, name: str, command: Callable[[Session], Coroutine[Any, Any, Output]], *, asks: bool
) -> Output:
    """Run a command on a machine and keep what it changed, even if it failed: a failed attempt leaves traces, too."""
    folder = bench.folder
    # Checked first: the name was typed and may be wrong.
    _check_there(folder, name)
    key = load_key(bench.lab_key, folder)
    with held_machines(folder, name) as store:
        found = store.get(name)
        session = Session(found, key, time.time, _ask_nobody, uuid4, lambda: store.events(found.name), bench.region)
        try:
            return _with_host(session, command, bench.timeout) if asks else _at_once(command(session))
        finally:
            store.save(found)


def _ask_nobody(machine: Machine, licence: Licence) -> NoReturn:
    raise RuntimeError("this command was not expected to ask a host")


def _with_host(session: Session, command: Callable[[Session], Coroutine[Any, Any, Output]], timeout: float) -> Output:
    # A reactor, TLS and DNS take most of the start-up time, and commands that only look at a machine need none of them.
    from kmstwist.cli.common import run_reactor
    from kmstwist.cli.lab.contacting import asking_on
    from kmstwist.lab.machines.activation import activate
    from kmstwist.reactor import Reactor

    async def main(reactor: Reactor) -> Output:
        asking = asking_on(reactor, session.key, timeout)
        asked = replace(session, activate=lambda machine, licence: activate(machine, licence, asking))
        return await command(asked)

    return run_reactor(main)


def _at_once(coroutine: Coroutine[Any, Any, Output]) -> Output:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        output: Output = ended.value
        return output
    coroutine.close()
    raise RuntimeError("a command that asks no host has waited")


def _on_host(bench: Bench, option: slmgr_options.Option, arguments: list[str]) -> Output:
    from kmstwist.lab.store import STORE_FILE_NAME, LabStore

    folder = bench.folder
    key: LabKey = load_key(bench.lab_key, folder)
    with lab_errors_explained():
        regions.region(bench.region or regions.DEFAULT)
        store = LabStore(folder / STORE_FILE_NAME)
        try:
            session = slmgr_host.HostSession(
                key,
                store.load(),
                store.load_settings(),
                time.time(),
                store.load_running(),
                bench.region or regions.DEFAULT,
            )
            before = session.settings
            output = slmgr_host.run(session, option, arguments)
            if session.settings != before:
                store.save_settings(session.settings)
        finally:
            store.close()
    return output
