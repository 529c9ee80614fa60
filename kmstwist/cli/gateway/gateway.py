"""`kmstwist gateway`: the state of a running server, and pausing it for maintenance."""

from __future__ import annotations

from pathlib import Path

import click

from kmstwist.cli.gateway.control import ask_server, server_options, warn_if_not_kept


@click.group()
def gateway() -> None:
    """A running gateway (or lab) on this machine."""


@gateway.command()
@server_options
def status(port: int | None, run_dir: Path | None) -> None:
    """Show how much goes on."""
    answer = ask_server(port, run_dir, {"command": "status"})
    paused = ", paused: clients are told to come back later" if answer["paused"] else ""
    click.echo(f"A {answer['mode']}{paused}.")
    click.echo(f"Open connections: {answer['connections']}")
    click.echo(f"Conversations since the start: {answer['conversations']}")
    click.echo(f"Activations answered with success: {answer['activations']}")


@gateway.command()
@server_options
def pause(port: int | None, run_dir: Path | None) -> None:
    """Answer every call with "too busy", so that clients come back later. It stays so until resume."""
    answer = ask_server(port, run_dir, {"command": "pause"})
    click.echo("Paused: clients are told to come back later. `kmstwist gateway resume` ends it.")
    warn_if_not_kept(answer)


@gateway.command()
@server_options
def resume(port: int | None, run_dir: Path | None) -> None:
    """Answer calls again."""
    answer = ask_server(port, run_dir, {"command": "resume"})
    click.echo("Clients are answered again.")
    warn_if_not_kept(answer)
