"""What the verbs that talk to a running server share: where its control socket is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def server_options(command: CommandT) -> CommandT:
    """Add the options by which the running server is named."""
    port = click.option(
        "--port", type=click.IntRange(0, 65535), default=1688, show_default=True, help="The port the server was given."
    )
    run_dir = click.option(
        "--run-dir",
        type=click.Path(path_type=Path),
        help="The server's --run-dir, or its --state-dir.  [default: as the server's own]",
    )
    return port(run_dir(command))


def ask_server(port: int, run_dir: Path | None, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a command to the server and give its answer; what it says against it is an error for the user."""
    from kmstwist.lab.keys import LabKeyError, default_state_dir
    from kmstwist.process.control import CommandError, ask, socket_path

    try:
        return ask(socket_path(run_dir or default_state_dir(), port), request)
    except (CommandError, LabKeyError) as error:
        raise click.ClickException(str(error)) from None


def warn_if_not_kept(answer: Mapping[str, Any]) -> None:
    """Tell, of a switch that is done, that it will not outlive a restart of the server."""
    if answer["not_kept"]:
        click.echo(f"This will not hold after a restart: {answer['not_kept']}.", err=True)
