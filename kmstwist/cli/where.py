"""Which server and which store a command works on: `kmstwist.configuration.whereabouts` for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.configuration.whereabouts import CONFIG_VARIABLE, DEFAULT_CONFIG, Whereabouts

CommandT = TypeVar("CommandT", bound=Callable[..., object])

_META = "kmstwist.config"
#: The help's words for an option that is left out.
AS_CONFIGURED = "[default: as configured; `kmstwist config where` shows it]"


def config_option(command: CommandT) -> CommandT:
    """Give a command --config, as `file`."""
    return click.option(
        "--config",
        "-c",
        "file",
        type=ANY_PATH,
        help=f"The configuration file.  [default: {CONFIG_VARIABLE}, or {DEFAULT_CONFIG} if it is there]",
    )(command)


def remember_config(ctx: click.Context, file: Path | None) -> None:
    """Keep the file that `kmstwist --config FILE VERB` names, for the verb."""
    if file is not None:
        ctx.meta[_META] = file


def whereabouts(*, config: Path | None = None, **options: Any) -> Whereabouts:
    """The whereabouts for the command that runs, with the options it was given."""
    context = click.get_current_context(silent=True)
    if config is None and context is not None:
        config = context.meta.get(_META)
    return Whereabouts(config=config, **options)


@contextmanager
def config_errors_explained() -> Iterator[None]:
    """Turn mistakes in the configuration, or a missing state folder, into one sentence for the user."""
    from kmstwist.configuration.mistakes import ConfigError
    from kmstwist.lab.keys import LabKeyError

    try:
        yield
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    except LabKeyError as error:
        raise click.ClickException(str(error)) from None


def state_dir(given: Path | None) -> Path:
    """The state folder to work on. Raises `ClickException`."""
    with config_errors_explained():
        return whereabouts(state_dir=given).state_dir.value


def keep_rights_in(folder: Path) -> Path:
    """Act as the owner of this folder until the command ends, if root called. Returns the folder."""
    from kmstwist.system.rights import rights_in

    context = click.get_current_context(silent=True)
    if context is not None:
        context.find_root().with_resource(rights_in(folder))
    return folder


def default_port(given: int | None) -> int:
    """The server's port. Raises `ClickException`."""
    with config_errors_explained():
        return whereabouts(port=given).port.value
