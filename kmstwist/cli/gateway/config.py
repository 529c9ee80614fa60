"""`kmstwist config`: check a configuration file, show the effective one, make a running server reload it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.cli.gateway.control import ask_server, server_options
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say, say_json
from kmstwist.cli.where import config_errors_explained, config_option, whereabouts
from kmstwist.configuration.whereabouts import CONFIG_VARIABLE, DEFAULT_CONFIG

if TYPE_CHECKING:
    from kmstwist.process.options import Options

_FILE = ANY_PATH


@click.group(cls=LazyGroup)
def config() -> None:
    """The configuration file of `twistd kms`."""


@config.command()
@json_option
@config_option
@server_options
@click.option("--state-dir", type=_FILE, help="The server's state folder.")
@click.option("--store", metavar="FILE|URL", help="The audit's store.")
def where(
    as_json: bool, file: Path | None, port: int | None, run_dir: Path | None, state_dir: Path | None, store: str | None
) -> None:
    """Show which server and store commands work on, and why.

    All commands follow one rule: an option comes first, then the environment (KMSTWIST_CONFIG, KMSTWIST_AUDIT_STORE,
    KMSTWIST_SERVER__PORT and so on), then the configuration file, then the default. `twistd kms` follows it too, but
    reads no configuration file that is not named.
    """
    from kmstwist.process.control_client import socket_path
    from kmstwist.shown import url_without_password

    with config_errors_explained():
        found = whereabouts(config=file, port=port, run_dir=run_dir, state_dir=state_dir, store=store)
        rows = {
            "configuration file": (found.config.value or "none", found.config.origin),
            "port": (found.port.value, found.port.origin),
            "state folder": (found.state_dir.value, found.state_dir.origin),
            "control socket": (socket_path(found.run_dir.value, found.name.value), found.run_dir.origin),
            "audit store": (url_without_password(found.store.value), found.store.origin),
        }
    if as_json:
        told_rows = [{"what": name, "value": str(value), "origin": origin} for name, (value, origin) in rows.items()]
        say_json(told_rows)
        return
    width = max(len(str(value)) for value, _ in rows.values())
    for name, (value, origin) in rows.items():
        say(f"{name:<18}  {value!s:<{width}}  {origin}")


@config.command()
@json_option
@click.argument("file", type=_FILE, required=False)
def check(as_json: bool, file: Path | None) -> None:
    """Check FILE, or the one in force; report every mistake. Each mistake has its place and its cure."""
    from kmstwist.configuration.derived import refuse_open_passwords, refuse_ourselves
    from kmstwist.configuration.installed import refuse_missing
    from kmstwist.configuration.mistakes import ConfigError
    from kmstwist.configuration.reading import load
    from kmstwist.startup import StartupError

    file = file or whereabouts().config.value
    if file is None:
        raise click.UsageError(
            f"name the FILE to check: there is no {DEFAULT_CONFIG}, and {CONFIG_VARIABLE} names none"
        )
    try:
        effective = load(file)
        refuse_open_passwords(effective)
        refuse_ourselves(effective.config)
        refuse_missing(effective.config)
    except StartupError as error:
        said = str(error.problem) if error.problem.where else f"{file}: {error}"
        if as_json:
            say_json({"file": str(file), "in_order": False, "mistakes": [said]})
            raise click.exceptions.Exit(1) from None
        raise click.ClickException(f"{said}.") from None
    except ConfigError as error:
        if as_json:
            say_json({"file": str(file), "in_order": False, "mistakes": [str(mistake) for mistake in error.mistakes]})
            raise click.exceptions.Exit(1) from None
        for mistake in error.mistakes:
            say(str(mistake), err=True)
        many = len(error.mistakes)
        raise click.ClickException(f"{file} has {many} mistake{'s' if many > 1 else ''}.") from None
    if as_json:
        say_json({"file": str(file), "in_order": True, "mistakes": []})
    else:
        say(f"{file} is in order.")


@config.command(context_settings={"ignore_unknown_options": True})
@json_option
@config_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def show(as_json: bool, file: Path | None, options: tuple[str, ...]) -> None:
    """Show the effective configuration, and where it comes from.

    It is TOML, with the origin of each value. OPTIONS are options of `twistd kms`, as they would be given to it.
    """
    from kmstwist.configuration import environment
    from kmstwist.configuration.document import effective_json, effective_toml
    from kmstwist.configuration.mistakes import ConfigError
    from kmstwist.configuration.reading import load

    given: Options | None = None
    if options:
        # Twisted reads them, and takes longer to load than everything else here.
        from kmstwist.process.options import Options

        given = Options()
        given.parse_only(options)
        file = given.config_file or file
    file = whereabouts(config=file).config.value
    try:
        effective = load(file, environment.overrides(os.environ) if given is None else given.overrides())
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        say_json(effective_json(effective))
    else:
        click.echo(effective_toml(effective), nl=False)


@config.command()
@json_option
@server_options
def reload(as_json: bool, port: int | None, run_dir: Path | None) -> None:
    """Make the running server apply its changed configuration.

    No connection is dropped.
    """
    answer = ask_server(port, run_dir, {"command": "reload"})
    if as_json:
        say_json({what: answer[what] for what in ("changed", "restart")})
        return
    if not (answer["changed"] or answer["restart"]):
        click.echo("Nothing has changed.")
    if answer["changed"]:
        click.echo(f"In force: {', '.join(answer['changed'])}.")
    if answer["restart"]:
        click.echo(f"Only after a restart: {', '.join(answer['restart'])}.")
