"""What the verbs that talk to a running server share: where its control socket is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.cli.where import AS_CONFIGURED, told, whereabouts

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def server_options(command: CommandT) -> CommandT:
    """Add the options by which the running server is named."""
    port = click.option(
        "--port", type=click.IntRange(0, 65535), help=f"The port the server was given.  {AS_CONFIGURED}"
    )
    run_dir = click.option(
        "--run-dir",
        type=ANY_PATH,
        help=f"The server's --run-dir, or its --state-dir.  {AS_CONFIGURED}",
    )
    return port(run_dir(command))


def ask_server(port: int | None, run_dir: Path | None, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a command to the server and give its answer; what it says against it is an error for the user."""
    from kmstwist.process.control import CommandError, NobodyThere, ask, socket_path

    with told():
        where = whereabouts(port=port, run_dir=run_dir)
        folder, number = where.run_dir, where.name
    try:
        answer = ask(socket_path(folder.value, number.value), request)
    except NobodyThere as error:
        origins = f"(the port is from {number.origin}, the folder from {folder.origin})"
        raise click.ClickException(f"{error} {origins}") from None
    except CommandError as error:
        raise click.ClickException(str(error)) from None
    if "silent" in answer:
        click.echo(f"This is not all of it: {answer['silent']}.", err=True)
    return answer


def warn_if_not_kept(answer: Mapping[str, Any]) -> None:
    """Tell, of a switch that is done, that it will not outlive a restart of the server."""
    if answer["not_kept"]:
        click.echo(f"This will not hold after a restart: {answer['not_kept']}.", err=True)
