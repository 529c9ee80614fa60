"""`kmstwist lab slmgr`, `ospp`, `events`, `confirm`, `hostkey`: the administrator's commands on lab machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli import completing
from kmstwist.cli.lab import tools
from kmstwist.cli.lab.common import (
    held_machines,
    lab_errors_explained,
    lab_key_option,
    load_key,
    machine_store,
    state_dir_option,
    state_folder,
    timeout_option,
)
from kmstwist.cli.output import say_json
from kmstwist.lab.host_settings import HOST
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.machines.regions import DEFAULT
from kmstwist.lab.ospp import options as ospp_options
from kmstwist.lab.slmgr import options as slmgr_options
from kmstwist.lab.windows.eventlog import FORMATS, LoggedEvent, exported, of_host, of_machine

if TYPE_CHECKING:
    from kmstwist.reactor import Reactor

_RAW = {"ignore_unknown_options": True}
_QUIET = click.option("--quiet", is_flag=True, help="Print nothing but what Windows prints: no causes, no cures.")
_REGION = click.option("--region", metavar="NAME", help="Print dates as in this region, such as de-DE.")


@click.command(context_settings=_RAW, epilog="\b\n" + "\n".join(slmgr_options.usage()))
@click.argument("machine", shell_complete=completing.lab_machines)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMPUTER [USER PASSWORD]] /OPTION [ARGUMENT]...")
@_QUIET
@_REGION
@timeout_option
@state_dir_option
@lab_key_option
@click.pass_context
def slmgr(
    ctx: click.Context,
    machine: str,
    words: tuple[str, ...],
    quiet: bool,
    region: str | None,
    timeout: float,
    state_dir: Path | None,
    lab_key: Path | None,
) -> None:
    """Run slmgr on a lab MACHINE; the lab host's name is `host`.

    Prints what slmgr.vbs prints on Windows to standard output, and the lab's own notes to standard error. Exits with 0
    if slmgr.vbs does, and otherwise with 1: a shell cannot pass on the HRESULT with which it ends.

    With a COMPUTER before the option, as in Windows' own syntax, MACHINE manages that computer over the network; the
    lab takes any user and password.
    """
    output = tools.slmgr(tools.Bench(state_dir, lab_key, timeout, region), machine, words)
    # The script prints everything with one Echo, which adds a line end of its own.
    output.lines.append("")
    tools.tell(output, quiet=quiet)
    ctx.exit(1 if output.code else 0)


@click.command(context_settings=_RAW, epilog="\b\n" + "\n".join(["Options of ospp:", *ospp_options.usage()]))
@click.argument("machine", shell_complete=completing.lab_machines)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="/OPTION[:VALUE] [COMPUTER [USER PASSWORD]]")
@_QUIET
@_REGION
@timeout_option
@state_dir_option
@lab_key_option
def ospp(
    machine: str,
    words: tuple[str, ...],
    quiet: bool,
    region: str | None,
    timeout: float,
    state_dir: Path | None,
    lab_key: Path | None,
) -> None:
    """Run ospp on a lab MACHINE with Office.

    Prints what ospp.vbs prints on Windows to standard output, and the lab's own notes to standard error. Exits with 0
    even if the command failed, as ospp.vbs does.

    With a COMPUTER after the option, as in Office's own syntax, MACHINE manages that computer over the network; the
    lab takes any user and password.
    """
    tools.tell(tools.ospp(tools.Bench(state_dir, lab_key, timeout, region), machine, words), quiet=quiet)


@click.command()
@click.argument("machine", shell_complete=completing.lab_machines)
@click.option("--last", type=click.IntRange(1), help="Only this many events, the latest ones.")
@click.option(
    "--format", "form", type=click.Choice([*FORMATS]), default="text", show_default=True, help="As Windows exports it."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@_REGION
@state_dir_option
def events(
    machine: str, last: int | None, form: str, as_json: bool, region: str | None, state_dir: Path | None
) -> None:
    """Print a machine's event log.

    It has event 12288 for each request sent and 12289 for each answer processed. The log of `host`, the lab host, has
    12290 for each request processed, and keeps the latest 20,000. `kmstwist events import` reads what --format writes,
    so that you can rehearse an import.
    """
    folder = state_folder(state_dir)
    with lab_errors_explained():
        if machine.lower() == HOST:
            logged, shown_in = _host_events(folder, last), DEFAULT
            none = "The lab host has logged no event yet: no client has asked it."
        else:
            with machine_store(folder) as store:
                found = store.get(machine)
                kept = store.events(machine, last)
                logged = of_machine(found, kept, store.event_count(machine) - len(kept) + 1)
                shown_in = found.region
            none = f"{found.name} has logged no event yet; slmgr /ato and ospp /act make it ask."
        chosen = "json" if as_json else form
        text = exported(logged, chosen, region or shown_in)
    if not logged and chosen == "text":
        click.echo(none)
    else:
        click.echo(text.encode() if chosen == "csv" else text, nl=False)


def _host_events(folder: Path, last: int | None) -> list[LoggedEvent]:
    from kmstwist.lab.store import STORE_FILE_NAME, LabStore

    path = folder / STORE_FILE_NAME
    if not path.exists():
        return []
    store = LabStore(path)
    try:
        return of_host(store.events(last))
    finally:
        store.close()


@click.command()
@click.argument("installation_id", nargs=-1, required=True)
@state_dir_option
@lab_key_option
def confirm(installation_id: tuple[str, ...], state_dir: Path | None, lab_key: Path | None) -> None:
    """Print the confirmation id for an installation id.

    Both are the lab's own.
    """
    key = load_key(lab_key, state_folder(state_dir))
    try:
        click.echo(confirmation_id(key, " ".join(installation_id)))
    except Published as error:
        raise click.ClickException(f"{error}: an installation id is what slmgr /dti or ospp /dinstid printed") from None


@click.command()
@state_dir_option
@lab_key_option
def hostkey(state_dir: Path | None, lab_key: Path | None) -> None:
    """Print the lab's own host key, to practise slmgr /ipk with.

    It is for the lab host. It means nothing to Windows.
    """
    click.echo(load_key(lab_key, state_folder(state_dir)).host_key)


def activate_machines(
    names: Sequence[str], state_dir: Path | None, lab_key: Path | None, timeout: float, *, as_json: bool
) -> int:
    """Activate every product of these machines, one after the other. Returns the exit status."""
    from kmstwist.cli.common import run_reactor
    from kmstwist.cli.lab.contacting import asking_on
    from kmstwist.lab.machines.activation import activate

    folder = state_folder(state_dir)
    # Check first whether the machines exist: their names were typed.
    with machine_store(folder) as store:
        for name in names:
            store.get(name)
    names = list(dict.fromkeys(name.casefold() for name in names))
    key = load_key(lab_key, folder)
    failed = 0
    with held_machines(folder, *names) as store:
        found = [store.get(name) for name in names]

        async def main(reactor: Reactor) -> list[tuple[str, str, Published | None]]:
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
    if as_json:
        say_json(
            [
                {"machine": name, "product": product, "licensed": error is None, "error": error and str(error)}
                for name, product, error in outcomes
            ]
        )
    for name, product, error in outcomes:
        failed += error is not None
        if as_json:
            continue
        click.echo(f"{name}  {product}: {'licensed for 180 days' if error is None else error}")
    return 1 if failed else 0
