"""Code shared by the verbs that talk to a running server through its control socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.cli.where import AS_CONFIGURED, config_errors_explained, whereabouts
from kmstwist.shown import visible_lines

CommandT = TypeVar("CommandT", bound=Callable[..., object])
_ASKED = "kmstwist.asked"


def server_options(command: CommandT) -> CommandT:
    """Add the options that identify the running server."""
    port = click.option(
        "--port", type=click.IntRange(0, 65535), help=f"The port the server was given.  {AS_CONFIGURED}"
    )
    run_dir = click.option(
        "--run-dir",
        type=ANY_PATH,
        help=f"The server's --run-dir, or its --state-dir.  {AS_CONFIGURED}",
    )
    return port(run_dir(_understanding(command)))


def _understanding(command: CommandT) -> CommandT:
    """Make a command report a malformed answer, which comes from another version or an impostor."""

    @wraps(command)
    def understanding(*args: object, **kwargs: object) -> object:
        meta = click.get_current_context().meta
        try:
            return command(*args, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if _ASKED not in meta:
                raise
            raise click.ClickException(
                f"what answers at {meta[_ASKED]} is not a kmstwist of this version; restart the server, or see who "
                f"has that socket"
            ) from error

    return cast(CommandT, understanding)


def _shown(answer: Any) -> Any:
    """An answer with its texts made harmless for a terminal: anybody with the service's user may answer."""
    if isinstance(answer, str):
        return visible_lines(answer)
    if isinstance(answer, list):
        return [_shown(item) for item in answer]
    if isinstance(answer, dict):
        return {_shown(key): _shown(value) for key, value in answer.items()}
    return answer


def ask_server(port: int | None, run_dir: Path | None, request: Mapping[str, object]) -> dict[str, Any]:
    """Send a command to the server and return its answer; a refusal becomes an error for the user."""
    from kmstwist.process.control_client import CommandError, NobodyThere, ask, socket_path
    from kmstwist.system.rights import rights_in

    with config_errors_explained():
        where = whereabouts(port=port, run_dir=run_dir)
        folder, number = where.run_dir, where.name
    try:
        with rights_in(folder.value.absolute()):
            path = socket_path(folder.value, number.value)
            answer: dict[str, Any] = _shown(ask(path, request))
    except RecursionError:
        raise click.ClickException(f"what answers at {path} is not a kmstwist") from None
    except NobodyThere as error:
        origins = f"(the port is from {number.origin}, the folder from {folder.origin})"
        raise click.ClickException(f"{error} {origins}") from None
    except CommandError as error:
        raise click.ClickException(str(error)) from None
    click.get_current_context().meta[_ASKED] = str(path)
    if "silent" in answer:
        click.echo(f"This is not complete: {answer['silent']}.", err=True)
    return answer


def warn_if_not_kept(answer: Mapping[str, Any]) -> None:
    """Warn that a switch will not survive a restart of the server."""
    if answer["not_kept"]:
        click.echo(f"This will not hold after a restart: {answer['not_kept']}.", err=True)
