"""`kmstwist gateway`: the state of a running server, and pausing it for maintenance."""

from __future__ import annotations

from pathlib import Path

import click

from kmstwist.cli.common import FiniteRange
from kmstwist.cli.gateway.control import ask_server, server_options, warn_if_not_kept
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say_json
from kmstwist.findings import from_json


@click.group(cls=LazyGroup)
def gateway() -> None:
    """A running gateway (or lab) on this machine."""


@gateway.command()
@json_option
@server_options
def status(as_json: bool, port: int | None, run_dir: Path | None) -> None:
    """Show the server's health, and how busy it is."""
    answer = ask_server(port, run_dir, {"command": "status"})
    if as_json:
        say_json(answer)
        return
    paused = ", paused: clients are told to come back later" if answer["paused"] else ""
    if answer["leaving"]:
        paused = ", about to be paused or stopped: /readyz says 503, and clients are still answered for a few seconds"
    click.echo(f"A {answer['mode']}{paused}.")
    if "health" in answer:
        click.echo(f"Health: {answer['health']}")
        for row in answer["findings"]:
            click.echo(f"  {from_json(row).sentence}")
    click.echo(f"Open connections: {answer['connections']}")
    click.echo(f"Conversations since the start: {answer['conversations']}")
    click.echo(f"Activations answered with success: {answer['activations']}")


@gateway.command()
@server_options
@click.option(
    "--after",
    type=FiniteRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Let /readyz return 503 now, and pause this many seconds later, so that a balancer sees it before clients do.",
)
def pause(port: int | None, run_dir: Path | None, after: float) -> None:
    """Answer every call with "too busy", so that clients come back later. This lasts until resume."""
    answer = ask_server(port, run_dir, {"command": "pause", "after": after})
    if after and not answer["paused"]:
        click.echo(
            f"/readyz says 503. In {after:g} seconds clients are told to come back later; `kmstwist gateway resume` "
            f"cancels it."
        )
        warn_if_not_kept(answer)
        return
    click.echo("Paused: clients are told to come back later. `kmstwist gateway resume` ends it.")
    warn_if_not_kept(answer)


@gateway.command()
@server_options
def resume(port: int | None, run_dir: Path | None) -> None:
    """Answer calls again."""
    answer = ask_server(port, run_dir, {"command": "resume"})
    click.echo("Clients are answered again.")
    warn_if_not_kept(answer)
