"""`kmstwist upstreams`: the KMS hosts behind a running gateway, and taking one out of use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kmstwist.cli import completing
from kmstwist.cli.gateway.control import ask_server, server_options, warn_if_not_kept
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say_json

_COLOURS = {"up": "green", "warming": "yellow", "trying": "yellow", "down": "red", "drained": "cyan"}


@click.group(cls=LazyGroup)
def upstreams() -> None:
    """The KMS hosts behind a running gateway."""


@upstreams.command("list")
@json_option
@server_options
def list_(as_json: bool, port: int | None, run_dir: Path | None) -> None:
    """Show every upstream with its state and its calls.

    The table also has its connections and the outcomes of its calls.
    """
    found = ask_server(port, run_dir, {"command": "upstreams"})["upstreams"]
    if as_json:
        say_json(found)
        return
    if not found:
        click.echo("There are no upstreams: none has been found in DNS yet.")
        return
    show_table(found, Console())


@upstreams.command()
@click.argument("name", shell_complete=completing.upstreams)
@server_options
def drain(name: str, port: int | None, run_dir: Path | None) -> None:
    """Send no more calls to the upstream NAME. Calls under way are finished. This lasts until undrain."""
    answer = ask_server(port, run_dir, {"command": "drain", "upstream": name})
    [upstream] = answer["upstreams"]
    busy = upstream["busy"]
    calls = "no calls are" if not busy else "1 call is still" if busy == 1 else f"{busy} calls are still"
    click.echo(f"{name} is drained; {calls} under way there. `kmstwist upstreams undrain {name}` brings it back.")
    warn_if_not_kept(answer)


@upstreams.command()
@click.argument("name", shell_complete=completing.upstreams)
@server_options
def undrain(name: str, port: int | None, run_dir: Path | None) -> None:
    """Send calls to the upstream NAME again."""
    answer = ask_server(port, run_dir, {"command": "undrain", "upstream": name})
    if answer["upstreams"]:
        click.echo(f"{name} is back in use; it is {answer['upstreams'][0]['state']}.")
    else:
        click.echo(f"{name} is no longer drained; there is no upstream of that name at present.")
    warn_if_not_kept(answer)


_NUMBERS = ("priority", "weight", "idle", "busy", "waiting", "answered", "refused", "failed")


def show_table(found: list[dict[str, Any]], console: Console) -> None:
    """Print the table; if the terminal is too narrow for the details, they follow below it. Nothing is cut.

    Without a terminal there is no width to respect: each upstream is one line.
    """
    table = _table(found, details=True)
    fits = not console.is_terminal or _width(table, console) <= console.width
    if not fits:
        table = _table(found, details=False)
    console.width = max(console.width, _width(table, console))
    console.print(table)
    if not fits:
        for upstream in found:
            if detail := _detail(upstream):
                console.print(Text(f"{upstream['name']}: {detail}"), soft_wrap=True)


def _width(table: Table, console: Console) -> int:
    """The width that the table needs, independent of the console."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def _table(found: list[dict[str, Any]], *, details: bool) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0) if details else (0, 1, 0, 0))
    table.add_column("upstream", no_wrap=True)
    for name in ("state", *_NUMBERS):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    if details:
        table.add_column("detail", no_wrap=True)
    for upstream in found:
        state = upstream["state"]
        table.add_row(
            Text(upstream["name"]),
            Text(state, style=_COLOURS.get(state, "")),
            *(str(upstream[name]) for name in _NUMBERS),
            *([Text(_detail(upstream))] if details else []),
        )
    return table


def _detail(upstream: dict[str, Any]) -> str:
    where = "" if upstream["address"] == upstream["name"] else f"at {upstream['address']}"
    found_by = "found in DNS" if upstream["found"] == "dns" else ""
    return "; ".join(part for part in (where, found_by, upstream["detail"]) if part)
