"""The `kmstwist` command. A verb is imported when it is asked for, so that each starts fast."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path

import click

from kmstwist import __version__
from kmstwist.cli.lazy import INTERRUPTED, LazyGroup, Verb
from kmstwist.cli.output import OutputError, give_up_standard_output, watch_standard_output
from kmstwist.cli.where import config_option, remember_config
from kmstwist.startup import collect_rarely, leave_at_once

#: All verbs.
VERBS = {
    "audit": Verb("audit.audit:audit", "Maintain the audit's store."),
    "completion": Verb("completion:completion", "Print what SHELL reads to complete kmstwist's command lines."),
    "config": Verb("gateway.config:config", "The configuration file of `twistd kms`."),
    "demo": Verb("lab.demo:demo", "Show the status site with a year of records."),
    "discover": Verb("dns.discover:discover", "Look for KMS hosts in DNS as Windows does, and probe them."),
    "doctor": Verb(
        "checks.doctor:doctor",
        "Check all that a server needs, and say what to do.",
    ),
    "dns": Verb("dns.dns:dns", "Publish this gateway in DNS, so that KMS clients find it."),
    "errors": Verb(
        "clients.errors:errors",
        "Explain each activation error CODE, and what to do about it.",
    ),
    "events": Verb("audit.events:events", "Import the KMS host's own events, which name the machines."),
    "gateway": Verb("gateway.gateway:gateway", "A running gateway (or lab) on this machine."),
    "keys": Verb(
        "clients.keys:keys",
        "List the client setup keys (GVLK) that Microsoft publishes.",
    ),
    "lab": Verb("lab.lab:lab", "Rehearse volume activation with simulated clients."),
    "log": Verb("logs.log:log", "Show kmstwist's log, filtered and explained."),
    "notify": Verb("gateway.notify:notify", "Notifications when something is wrong ([notify])."),
    "probe": Verb("checks.probe:probe", "Check that a KMS host answers at HOST[:PORT]."),
    "products": Verb(
        "audit.products:products",
        "Give names to products that are known only by their ids.",
    ),
    "report": Verb("audit.report:report", "Show one of the audit's reports; without NAME, list them."),
    "serve": Verb("serve:serve", "Run the server here, until Ctrl-C: `twistd -n kms`."),
    "service": Verb("service.service:service", "The systemd service, if no package has installed it."),
    "setup-client": Verb(
        "clients.setup_client:setup_client",
        "Print the commands that make a machine a KMS client.",
    ),
    "upstreams": Verb("gateway.upstreams:upstreams", "The KMS hosts behind a running gateway."),
    "web": Verb("gateway.web:web", "The status site, metrics and health checks ([web])."),
}


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kmstwist")
@config_option
@click.pass_context
def kmstwist(ctx: click.Context, file: Path | None) -> None:
    """A KMS gateway in front of the site's own licensed hosts, and a lab to rehearse volume activation.

    `twistd kms` is the server itself; this command queries it, rehearses and explains. Options, the environment, the
    configuration file and the defaults, in this order, decide which server and which store a command works on;
    `kmstwist config where` shows it.
    """
    remember_config(ctx, file)


def main() -> None:
    """The console script's entry: a closed pipe at the other end is not an error, nor is a terminal without Unicode."""
    collect_rarely()
    watch_standard_output()
    if "_KMSTWIST_COMPLETE" in os.environ:
        from kmstwist.cli.completion import register

        register()
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        try:
            kmstwist(prog_name="kmstwist")
        finally:
            # What is still in the buffer fails here, and not later, when nobody can report it.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        # Before the verb began, or after its end.
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OutputError as error:
        give_up_standard_output()
        sys.exit(f"Error: the output cannot be written: {error}")
    finally:
        leave_at_once()
