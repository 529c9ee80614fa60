"""`kmstwist notify`: try the targets of `[notify]`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import click

from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.where import config_option, told, whereabouts


@click.group(cls=LazyGroup)
def notify() -> None:
    """Who is told when something is not as it should be: [notify] in the configuration."""


@notify.command()
@config_option
def test(file: Path | None) -> None:
    """Send a test message to every target, and say what became of each.

    The status is 1 where a target could not be told.
    """
    from kmstwist.notify.letters import about_test
    from kmstwist.notify.targets import NotSent, TargetError, make_targets

    with told():
        effective = whereabouts(config=file).effective
    config = effective.config
    try:
        targets = make_targets(config.notify.targets)
    except TargetError as error:
        raise click.ClickException(str(error)) from None
    if not targets:
        where = effective.file or "the configuration"
        raise click.ClickException(f"{where} names nobody to tell; add targets to [notify]")
    text = about_test(config.notify.name or config.audit.gateway or socket.gethostname())
    failed = False
    for target in targets:
        try:
            target.send(text)
        except NotSent as error:
            failed = True
            click.echo(f"{target.name}: not sent: {error}")
        else:
            click.echo(f"{target.name}: sent")
    if failed:
        sys.exit(1)
