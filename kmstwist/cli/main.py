"""The `kmstwist` command. A verb is imported when it is asked for, so that each starts fast."""

from __future__ import annotations

import importlib
import sys

import click

from kmstwist import __version__

#: Each verb's command, as "module:attribute" below kmstwist.cli.
VERBS = {
    "discover": "discover:discover",
    "dns": "dns:dns",
    "keys": "keys:keys",
    "lab": "lab:lab",
    "probe": "probe:probe",
    "setup-client": "setup_client:setup_client",
}


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, as they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in alphabetical order."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, or None where there is no such verb."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"kmstwist.cli.{module}"), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kmstwist")
def kmstwist() -> None:
    """A KMS gateway before the site's own licensed hosts, and a lab to rehearse volume activation.

    The server itself is `twistd kms`; this command asks, rehearses and explains.
    """


def main() -> None:
    """The console script's entry: a closed pipe at the other end is no error."""
    try:
        kmstwist(prog_name="kmstwist")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
