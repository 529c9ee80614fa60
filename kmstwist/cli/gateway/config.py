"""`kmstwist config`: check a configuration file, show what is in force, have a running server take a changed one."""

from __future__ import annotations

from pathlib import Path

import click

from kmstwist.cli.gateway.control import ask_server, server_options
from kmstwist.cli.output import say

_FILE = click.Path(path_type=Path)


@click.group()
def config() -> None:
    """The configuration file of `twistd kms`."""


@config.command()
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Check FILE; say every mistake with its place and its cure."""
    from kmstwist.configuration.derived import refuse_open_passwords, refuse_ourselves
    from kmstwist.configuration.reading import ConfigError, load
    from kmstwist.startup import StartupError

    try:
        effective = load(file)
        refuse_open_passwords(effective)
        refuse_ourselves(effective.config)
    except StartupError as error:
        place = "" if str(error).startswith(f"{file}:") else f"{file}: "
        raise click.ClickException(f"{place}{error}.") from None
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        many = len(error.mistakes)
        raise click.ClickException(f"{file} has {many} mistake{'s' if many > 1 else ''}.") from None
    say(f"{file} is in order.")


@config.command(context_settings={"ignore_unknown_options": True})
@click.option("--config", "-c", "file", type=_FILE, help="The configuration file.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def show(file: Path | None, options: tuple[str, ...]) -> None:
    """Show the effective configuration, as TOML, with the origin of each value.

    OPTIONS are options of `twistd kms`, as they would be given to it.
    """
    from kmstwist.configuration.document import effective_toml
    from kmstwist.configuration.reading import ConfigError, load
    from kmstwist.process.options import Options

    given = Options()
    given.parse_only([*([f"--config={file}"] if file else []), *options])
    try:
        effective = load(given.config_file, given.overrides())
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    click.echo(effective_toml(effective), nl=False)


@config.command()
@server_options
def reload(port: int, run_dir: Path | None) -> None:
    """Have the running server take its changed configuration file; no connection is dropped."""
    answer = ask_server(port, run_dir, {"command": "reload"})
    if not (answer["changed"] or answer["restart"]):
        click.echo("Nothing has changed.")
    if answer["changed"]:
        click.echo(f"In force: {answer['changed'].replace(',', ', ')}.")
    if answer["restart"]:
        click.echo(f"Only after a restart: {answer['restart'].replace(',', ', ')}.")
