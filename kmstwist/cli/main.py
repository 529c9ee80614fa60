"""The `kmstwist` command. A verb is imported when it is asked for, so that each starts fast."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path

import click

from kmstwist import __version__
from kmstwist.cli.lazy import INTERRUPTED, LazyGroup
from kmstwist.cli.output import OutputError, give_up_standard_output, watch_standard_output
from kmstwist.cli.where import config_option, remember_config

#: Each verb's command, as "module:attribute" below kmstwist.cli.
VERBS = {
    "audit": "audit.audit:audit",
    "config": "gateway.config:config",
    "demo": "lab.demo:demo",
    "discover": "dns.discover:discover",
    "doctor": "checks.doctor:doctor",
    "dns": "dns.dns:dns",
    "errors": "clients.errors:errors",
    "events": "audit.events:events",
    "gateway": "gateway.gateway:gateway",
    "keys": "clients.keys:keys",
    "lab": "lab.lab:lab",
    "log": "logs.log:log",
    "notify": "gateway.notify:notify",
    "probe": "checks.probe:probe",
    "products": "audit.products:products",
    "report": "audit.report:report",
    "serve": "serve:serve",
    "setup-client": "clients.setup_client:setup_client",
    "upstreams": "gateway.upstreams:upstreams",
    "web": "gateway.web:web",
}


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kmstwist")
@config_option
@click.pass_context
def kmstwist(ctx: click.Context, file: Path | None) -> None:
    """A KMS gateway before the site's own licensed hosts, and a lab to rehearse volume activation.

    The server itself is `twistd kms`; this command asks, rehearses and explains. Which server and which store a command
    works on is said by its options, by the environment, by the configuration file, or by the default, in this order;
    `kmstwist config where` shows it.
    """
    remember_config(ctx, file)


def main() -> None:
    """The console script's entry: a closed pipe at the other end is no error, nor is a terminal without Unicode."""
    watch_standard_output()
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        try:
            kmstwist(prog_name="kmstwist")
        finally:
            # What is still in the buffer fails here, not when nobody can tell of it any more.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        # Before a verb was reached, or after its end.
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OutputError as error:
        give_up_standard_output()
        sys.exit(f"Error: the output cannot be written: {error}")
