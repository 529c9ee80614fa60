"""`kmstwist lab fleet`: what would happen to thousands of machines, in virtual time."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from kmstwist.cli.common import AnyPath, FiniteRange
from kmstwist.cli.lab.common import CommandT
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say, say_json
from kmstwist.system.rights import rights_for_named
from kmstwist.system.wholefile import write_whole

# What runs a fleet takes three times as long to load as a command's help.
if TYPE_CHECKING:
    from kmstwist.lab.fleet.record import FleetResult
    from kmstwist.lab.fleet.scenario import Scenario
    from kmstwist.reactor import Reactor

_WIRE_MACHINES = 1000


def _writable(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before the run, which takes minutes, and not after it."""
    if path is not None and not path.parent.is_dir():
        raise click.ClickException(f"{path} cannot be written (there is no folder {path.parent}): name another file")
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.ClickException(f"{path} cannot be written (permission denied): name another file")
    return path


def _out(option: str, help_text: str) -> Callable[[CommandT], CommandT]:
    kind = AnyPath(dir_okay=False)
    return click.option(f"--{option}", f"{option}_file", type=kind, callback=_writable, help=help_text)


_JSON = _out("json", "Write the whole result as JSON.")
_CSV = _out("csv", "Write one line for each hour: states, requests, counts.")
_HTML = _out("html", "Write one page with charts.")
_MACHINES = click.option(
    "--machines", type=click.IntRange(1), help="Reduce the scenario to this many machines, every group in proportion."
)
_SEED = click.option("--seed", type=click.IntRange(0), help="A seed other than the scenario's.")


@click.group(cls=LazyGroup)
def fleet() -> None:
    """Rehearse what happens to a fleet of machines, in virtual time."""


@fleet.command("scenarios")
@json_option
@click.argument("name", required=False)
def scenarios(as_json: bool, name: str | None) -> None:
    """List the ready scenarios, or print one to start from.

    With a NAME, print that scenario, to make your own from.
    """
    from kmstwist.lab.scenarios import listed, ready_scenarios, ready_text

    if name is not None:
        try:
            text = ready_text(name)
        except KeyError:
            raise click.ClickException(
                f'there is no ready scenario "{name}"; there are: {", ".join(ready_scenarios())}'
            ) from None
        if as_json:
            say_json(_scenario(name).model_dump(mode="json", by_alias=True))
        else:
            click.echo(text, nl=False)
        return
    if as_json:
        say_json(
            [
                {"scenario": each.name, "machines": each.machines, "days": each.days, "shows": each.description}
                for each in listed()
            ]
        )
        return
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold")
    for heading in ("scenario", "machines", "days", "what it shows"):
        table.add_column(heading, justify="right" if heading in ("machines", "days") else "left")
    for each in listed():
        table.add_row(each.name, f"{each.machines:,}", f"{each.days:g}", each.description)
    console.print(table)


@fleet.command()
@click.option("--scenario", required=True, help="A scenario file, or the name of a ready one (`fleet scenarios`).")
@_MACHINES
@_SEED
@_JSON
@_CSV
@_HTML
@click.option("--wire", is_flag=True, help="Against real server processes on loopback, with the days compressed.")
@click.option(
    "--wire-seconds",
    type=FiniteRange(1, 3600),
    default=60,
    show_default=True,
    help="With --wire: how many seconds all days of the scenario take.",
)
def run(
    scenario: str,
    machines: int | None,
    seed: int | None,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
    wire: bool,
    wire_seconds: float,
) -> None:
    """Run a scenario and report what happened.

    Exits with 0 whatever happened to the machines; if a scenario cannot be run, all its mistakes are shown. With --wire
    it has 1,000 machines unless --machines says otherwise, and at most 5,000.
    """
    from kmstwist.lab.fleet.report import write_csv, write_json

    if wire:
        result = _run_on_wire(scenario, machines or _WIRE_MACHINES, seed, wire_seconds)
    else:
        result = _run(_scenario(scenario, machines, seed))
        _print_summary(result)
    if json_file is not None:
        _write(json_file, lambda file: write_json(result, file))
    if csv_file is not None:
        _write(csv_file, lambda file: write_csv(result, file))
    if html_file is not None:
        _write_page(html_file, [result])


@fleet.command()
@click.argument("first")
@click.argument("second")
@_MACHINES
@_SEED
@_HTML
@json_option
def compare(
    first: str, second: str, machines: int | None, seed: int | None, html_file: Path | None, as_json: bool
) -> None:
    """Run two scenarios and show their key figures side by side.

    Name scenario files, or ready scenarios.
    """
    from kmstwist.lab.fleet.report import document

    wanted = [_scenario(name, machines, seed) for name in (first, second)]
    results = [_run(scenario) for scenario in wanted]
    if as_json:
        say_json([{what: value for what, value in document(each).items() if what != "hourly"} for each in results])
    else:
        _print_compared(results)
    if html_file is not None:
        _write_page(html_file, results)


def _print_compared(results: list[FleetResult]) -> None:
    from kmstwist.lab.fleet.report import compared

    table = Table(box=None, header_style="bold")
    table.add_column("")
    for result in results:
        table.add_column(escape(result.scenario.name), justify="right")
    for heading, one, two in compared(*results):
        style = "bold" if one != two else ""
        table.add_row(heading, f"[{style}]{one}[/]" if style else one, f"[{style}]{two}[/]" if style else two)
    Console(highlight=False).print(table)


def _scenario(name: str, machines: int | None = None, seed: int | None = None) -> Scenario:
    from kmstwist.lab.fleet.scenario import ScenarioError, find_scenario

    try:
        found = find_scenario(name)
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    if machines is not None:
        found = found.scaled_to(machines)
    return found if seed is None else found.model_copy(update={"seed": seed})


def _run(scenario: Scenario) -> FleetResult:
    from kmstwist.lab.fleet.simulation import Fleet

    with _bar(scenario) as (progress, bar):
        return Fleet(scenario).run(lambda share: progress.update(bar, completed=share))


def _run_on_wire(name: str, machines: int, seed: int | None, seconds: float) -> FleetResult:
    from kmstwist.cli.common import run_reactor
    from kmstwist.lab.fleet.processes import ProcessFailed
    from kmstwist.lab.fleet.wire import MAX_MACHINES, WireFleet, WireResult

    if machines > MAX_MACHINES:
        raise click.ClickException(f"--wire plays at most {MAX_MACHINES:,} machines; give fewer with --machines")
    found = _scenario(name, machines, seed)
    with TemporaryDirectory(prefix="kmstwist-fleet-") as folder, _bar(found) as (progress, bar):

        async def main(reactor: Reactor) -> WireResult:
            fleet = WireFleet(found, reactor, seconds, Path(folder), os.urandom)
            return await fleet.run(lambda share: progress.update(bar, completed=share))

        try:
            played = run_reactor(main)
        except ProcessFailed as failed:
            raise click.ClickException(str(failed)) from None
    _print_summary(played.result)
    wire = played.wire
    console = Console(highlight=False)
    console.print(
        f"on the wire: {len(wire.answers):,} answers in {wire.seconds:g} s "
        f"({len(wire.answers) / wire.seconds:,.0f}/s), half within {wire.quantile(0.5) * 1000:.1f} ms, "
        f"99% within {wire.quantile(0.99) * 1000:.1f} ms; "
        f"longest wait for a turn {wire.latest:.2f} s"
    )
    for reason, number in sorted(wire.errors.items()):
        console.print(f"  {number:,} times {reason}")
    for trouble in wire.troubles:
        console.print(f"[red]  {escape(trouble)}[/]")
    return played.result


@contextmanager
def _bar(scenario: Scenario) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress, progress.add_task(f"{escape(scenario.name)}: {scenario.machine_count:,} machines", total=1.0)


def _print_summary(result: FleetResult) -> None:
    from kmstwist.lab.fleet.report import rows

    console = Console(highlight=False)
    console.print(f"[bold]{escape(result.scenario.name)}[/] (seed {result.scenario.seed})")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for heading, value in rows(result):
        table.add_row(heading, value)
    console.print(table)


def _write_page(path: Path, results: list[FleetResult]) -> None:
    from kmstwist.lab.fleet.page import page

    _write(path, lambda file: file.write(page(results)))


def _usual_mode() -> int:
    """The mode that the user's umask leaves to a new file."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def _write(path: Path, write: Callable[[IO[str]], object]) -> None:
    try:
        with rights_for_named(path):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                # Such as /dev/stdout.
                with path.open("w", encoding="utf-8", newline="") as file:
                    write(file)
            else:
                text = io.StringIO(newline="")
                write(text)
                write_whole(path, text.getvalue(), path.stat().st_mode & 0o777 if path.exists() else _usual_mode())
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}): name another file") from None
    say(f"{path} is written.", err=True)
