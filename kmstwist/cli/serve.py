"""`kmstwist serve`: the server in the foreground, for people who do not know twistd."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(ctx: click.Context, options: tuple[str, ...]) -> None:
    """Run the server here, until Ctrl-C: `twistd -n kms`.

    OPTIONS are those of `twistd kms`: --upstream KMSHOST for a gateway in front of the site's own licensed hosts;
    without
    --upstream and --discover it is a lab. --help lists all of them.
    """
    if "--help" in options or "-h" in options:
        from kmstwist.process.options import Options

        read = Options()
        read.synopsis = "Usage: kmstwist serve [options]"
        click.echo(str(read).rstrip())
        return
    from kmstwist.configuration.whereabouts import CALLED_VARIABLE, CONFIG_VARIABLE

    file = ctx.find_root().params.get("file")
    if file is not None:
        os.environ[CONFIG_VARIABLE] = str(file)
    # Mistakes in the options are reported in the words of this command.
    os.environ[CALLED_VARIABLE] = "kmstwist serve"
    sys.stdout.flush()
    # It replaces this process: there is one way to start a server, and it is twistd's.
    twistd = _twistd()
    os.execv(twistd, [twistd, "--nodaemon", "--pidfile=", "kms", *options])  # noqa: S606


def _twistd() -> str:
    """Where twistd is. Raises `ClickException`."""
    beside = Path(sys.executable).with_name("twistd")
    found = str(beside) if beside.exists() else shutil.which("twistd")
    if found is None:
        raise click.ClickException(f"there is no twistd beside {sys.executable} or on PATH; install kmstwist again")
    return found
