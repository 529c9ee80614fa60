"""`kmstwist notify`: try the targets of `[notify]`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import click

from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say_json
from kmstwist.cli.where import config_errors_explained, config_option, whereabouts


@click.group(cls=LazyGroup)
def notify() -> None:
    """Notifications when something is wrong ([notify]).

    The targets are in [notify] of the configuration.
    """


@notify.command()
@json_option
@config_option
def test(as_json: bool, file: Path | None) -> None:
    """Send a test message to every target, and report the result of each.

    The status is 1 if a target could not be reached.
    """
    from kmstwist.notify.messages import about_test
    from kmstwist.notify.targets import NotSent, TargetError, make_targets

    with config_errors_explained():
        effective = whereabouts(config=file).effective
    config = effective.config
    try:
        targets = make_targets(config.notify.targets)
    except TargetError as error:
        raise click.ClickException(str(error)) from None
    if not targets:
        where = effective.file or "the configuration"
        raise click.ClickException(f"{where} names no targets; add targets to [notify]")
    text = about_test(config.notify.name or config.audit.gateway or socket.gethostname())
    became: list[dict[str, object]] = []
    for target in targets:
        try:
            target.send(text)
        except NotSent as error:
            became.append({"target": target.name, "sent": False, "error": str(error)})
        else:
            became.append({"target": target.name, "sent": True, "error": None})
        if not as_json:
            told_of = became[-1]
            click.echo(f"{target.name}: sent" if told_of["sent"] else f"{target.name}: not sent: {told_of['error']}")
    if as_json:
        say_json(became)
    if not all(each["sent"] for each in became):
        sys.exit(1)
