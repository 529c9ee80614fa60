"""`kmstwist lab activate`: one simulated client, or many, ask for activation over the network."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import click

from kmstwist.addresses import DEFAULT_PORT, AddressError, HostPort, parse_host_port
from kmstwist.cli import completing
from kmstwist.cli.common import ANY_PATH, NETWORK, FiniteRange, run_reactor
from kmstwist.cli.lab.common import checked_machine_name, load_lab_key, state_dir_option, state_folder
from kmstwist.cli.output import json_option, say_json
from kmstwist.cli.where import default_port
from kmstwist.kms.catalogue import UnknownProduct, find
from kmstwist.kms.version import Version
from kmstwist.lab.keys import LabKeyError
from kmstwist.lab.machines.errors import Refused

if TYPE_CHECKING:
    from kmstwist.lab.network_client import Asked
    from kmstwist.reactor import Reactor

#: The CMID of a simulated machine follows from its name, so that the same machine asks again in the next run.
_MACHINES = UUID("0f8c3a52-6d0b-5e0c-9d57-0d1f8d7f6a11")


@click.command()
@click.option("--product", shell_complete=completing.products, help="The product's name, as `kmstwist keys` lists it.")
@click.option(
    "--machine",
    "machines",
    multiple=True,
    help="Instead of --product: a lab machine, with all its products and its own KMS settings. May be repeated.",
)
@state_dir_option
@click.option("--count", type=click.IntRange(1, 100_000), default=1, show_default=True, help="How many clients ask.")
@click.option(
    "--host",
    metavar="HOST[:PORT]",
    help="The lab, or a gateway in front of it.  [default: this machine's, at the port that is configured]",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The host's port.")
@click.option("--lab-key", type=ANY_PATH, help="The lab's key file; by default the one in this machine's state folder.")
@click.option(
    "--source",
    type=NETWORK,
    metavar="NETWORK",
    help="The clients' own addresses, one after the other, such as 127.0.1.0/24. They must be this machine's.",
)
@click.option("--kms-version", type=click.Choice(["4", "5", "6"]), default="6", show_default=True)
@click.option("--prefix", default="LAB-PC", show_default=True, help="The machines are named PREFIX-0001 and so on.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Clients that ask at the same time.",
)
@click.option("--timeout", type=FiniteRange(0.1, 300), default=10.0, show_default=True, help="Seconds a step may take.")
@json_option
@click.pass_context
def activate(
    ctx: click.Context,
    as_json: bool,
    product: str | None,
    machines: tuple[str, ...],
    state_dir: Path | None,
    count: int,
    host: str | None,
    port: int | None,
    lab_key: Path | None,
    source: IPv4Network | IPv6Network | None,
    kms_version: str,
    prefix: str,
    at_once: int,
    timeout: float,
) -> None:
    """Activate simulated clients, and show how the count climbs.

    The connections are real. Machines keep their identity: the same PREFIX and number is the same machine in every
    run. Exits with 0 if every client got an answer, even if the count is still too small; with 1 if one got none
    or was refused.
    """
    if (product is None) == (not machines):
        raise click.UsageError("give either --product or --machine")
    where = _where(ctx, host, port)
    if product is None:
        from kmstwist.cli.lab.practice import activate_machines

        ctx.exit(activate_machines(machines, state_dir, lab_key, timeout, as_json=as_json))
    try:
        wanted = find(product)
        key = load_lab_key(lab_key, state_folder(state_dir) if lab_key is None else Path())
    except UnknownProduct as error:
        raise click.ClickException(str(error)) from None
    except LabKeyError as error:
        raise click.ClickException(f"{error}, or name the lab's key with --lab-key") from None
    try:
        # The last name is the longest.
        checked_machine_name(f"{prefix}-{count:04d}")
    except Refused as error:
        raise click.BadParameter(str(error), ctx, param_hint="--prefix") from None
    from rich.console import Console
    from rich.progress import Progress

    from kmstwist.cli.lab.activate_output import answered, facts, print_table, print_whole, unanswered
    from kmstwist.clock import now
    from kmstwist.lab.cipher import LabCipher
    from kmstwist.lab.client import LabClient
    from kmstwist.lab.network_client import activate as activate_client
    from kmstwist.lab.network_client import activate_all
    from kmstwist.transport.endpoints import endpoint_for
    from kmstwist.transport.errors import UpstreamError

    cipher = LabCipher(key, os.urandom)
    version = Version(int(kms_version), 0)

    async def main(reactor: Reactor) -> list[Asked]:
        clients = [
            LabClient(name, uuid5(_MACHINES, name), wanted, installed=now(), version=version, virtual_machine=True)
            for name in (f"{prefix}-{number:04d}" for number in range(1, count + 1))
        ]
        endpoints = {
            client.machine_name: endpoint_for(reactor, where.host, where.port, timeout, address)
            for client, address in zip(clients, _sources(source, count), strict=True)
        }
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=count == 1 or not console.is_terminal) as progress:
            bar = progress.add_task("activating", total=count)
            return await activate_all(
                clients,
                lambda client: activate_client(client, cipher, endpoints[client.machine_name], reactor, timeout),
                at_once,
                lambda: progress.advance(bar),
            )

    asked = run_reactor(main)
    first = asked[0].result
    if as_json:
        say_json([facts(entry) for entry in asked])
    elif isinstance(first, UpstreamError):
        raise click.ClickException(unanswered(first, where))
    elif count == 1:
        print_whole(asked[0].client, first)
    else:
        print_table(asked)
    ctx.exit(0 if all(answered(entry) for entry in asked) else 1)


def _sources(network: IPv4Network | IPv6Network | None, count: int) -> list[str | None]:
    """The address that each client asks from; None leaves the choice to the system."""
    if network is None:
        return [None] * count
    # Without the network's own address and the last one, which is the broadcast address in IPv4.
    first, usable = (1, network.num_addresses - 2) if network.num_addresses > 2 else (0, network.num_addresses)
    return [str(network[first + number % usable]) for number in range(count)]


def _where(ctx: click.Context, host: str | None, port: int | None) -> HostPort:
    """The host to ask, with its own port if it has one; a different --port is a usage error."""
    if host is None:
        return HostPort("127.0.0.1", default_port(port))
    try:
        where = parse_host_port(host, port or DEFAULT_PORT)
    except AddressError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--host") from None
    if port is not None and where.port != port:
        raise click.UsageError(f"--host names port {where.port} and --port {port}; give one of them", ctx)
    return where
