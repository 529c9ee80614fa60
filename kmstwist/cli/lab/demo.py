"""`kmstwist demo`: a temporary demonstration of everything."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from kmstwist.addresses import HostPort
from kmstwist.cli.common import run_reactor

if TYPE_CHECKING:
    from kmstwist.reactor import Reactor

#: The site's usual port.
_SITE = 9688
_MACHINES = 4000
_PRODUCT = "Windows Server 2022 Standard"


@click.command()
@click.option(
    "--machines",
    type=click.IntRange(20, _MACHINES),
    default=_MACHINES,
    show_default=True,
    help="How many machines; fewer are ready sooner.",
)
@click.option(
    "--web-port",
    type=click.IntRange(1, 65535),
    help=f"The site's port on 127.0.0.1.  [default: {_SITE}, or any that is free]",
)
def demo(machines: int, web_port: int | None) -> None:
    """Show the status site with a year of records.

    Starts KMS hosts of the lab, a gateway in front of them, and its site. The records cover a year of thousands of
    machines; the fleet simulator makes them with the program's own code. Ctrl-C ends everything and removes it. The
    demonstration grants no licences, and touches nothing outside its own folder and loopback.
    """
    from kmstwist.lab.demo.demonstration import Demonstration
    from kmstwist.lab.demo.history import year
    from kmstwist.lab.fleet.processes import ProcessFailed

    site = HostPort("127.0.0.1", _free(web_port))
    scenario = year(datetime.now(UTC)).scaled_to(machines)
    with _ended_in_order(), TemporaryDirectory(prefix="kmstwist-demo-") as folder:
        demonstration = Demonstration(Path(folder), scenario, site, os.urandom)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(f"A year of {scenario.machine_count:,} machines", total=1.0)
            demonstration.record(lambda share: progress.update(bar, completed=share))

        async def main(reactor: Reactor) -> None:
            from twisted.internet.defer import Deferred

            # Closing the terminal has the same effect as Ctrl-C.
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reactor.stop))
            reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(demonstration.stop()))
            await demonstration.start(reactor)
            _say(site, demonstration.port, folder)
            await Deferred()

        try:
            # A signal stops the reactor: `main` has no result.
            with suppress(KeyboardInterrupt):
                run_reactor(main)
        except ProcessFailed as failed:
            raise click.ClickException(str(failed)) from None
    click.echo("The demonstration is removed.")


def _say(site: HostPort, port: int, folder: str) -> None:
    click.echo(f"Look at http://{site}/")
    click.echo(
        "KMS clients of the lab may call it, too: "
        f'kmstwist lab activate --port {port} --lab-key {folder}/host0/lab.key --product "{_PRODUCT}"'
    )
    click.echo("Ctrl-C ends it and removes everything.")
    sys.stdout.flush()


def _free(wanted: int | None) -> int:
    """A port of 127.0.0.1 for the site."""
    try:
        with socket.create_server(("127.0.0.1", wanted or _SITE)):
            return wanted or _SITE
    except OSError as error:
        if wanted is not None:
            why = os.strerror(error.errno or 0)
            raise click.ClickException(
                f"port {wanted} of 127.0.0.1 cannot be opened ({why}): name another with --web-port"
            ) from None
        from kmstwist.lab.fleet.processes import free_ports

        return free_ports(1)[0]


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A temporary folder that is removed however the command ends."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    kept = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
