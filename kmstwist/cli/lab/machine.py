"""`kmstwist lab machine`: simulated clients that last."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import click

from kmstwist.addresses import AddressError, HostPort, parse_host_port
from kmstwist.cli import completing
from kmstwist.cli.common import HOST_PORT, FiniteRange
from kmstwist.cli.lab import machine_output
from kmstwist.cli.lab.common import (
    checked_machine_name,
    held_machines,
    key_if_any,
    lab_errors_explained,
    lab_key_option,
    load_key,
    machine_store,
    state_dir_option,
    state_folder,
    timeout_option,
)
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say_json
from kmstwist.discovery.lookup.dns_names import DNS_PORT
from kmstwist.kms.catalogue import UnknownProduct, find
from kmstwist.kms.messages import MAX_MACHINE_NAME
from kmstwist.kms.version import Version
from kmstwist.lab.host_settings import HOST
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.machine import MACHINE, Licence, Machine
from kmstwist.lab.machines.regions import DEFAULT as DEFAULT_REGION
from kmstwist.lab.machines.regions import region as find_region
from kmstwist.lab.machines.session import dns_domain
from kmstwist.lab.machines.troubles import NONE, TROUBLES, afflict, relieve, trouble_lines
from kmstwist.lab.windows import registry as windows_registry

_NEW_MACHINE_HELP = "May be repeated: Windows and Office on one machine."


@click.group(cls=LazyGroup)
def machine() -> None:
    """Keep simulated machines, to practise slmgr and ospp."""


@machine.command()
@click.argument("name")
@click.option(
    "--product",
    "products",
    multiple=True,
    required=True,
    shell_complete=completing.products,
    help=f"A product's name. {_NEW_MACHINE_HELP}",
)
@click.option("--domain", help="The machine's DNS domain, in which it discovers KMS hosts.")
@click.option("--dns", metavar="HOST[:PORT]", help="The DNS server that it asks; by default those of this computer.")
@click.option("--host", type=HOST_PORT, help="Set the KMS host by hand, as slmgr /skms does.")
@click.option("--kms-version", type=click.Choice(["4", "5", "6"]), default="6", show_default=True)
@click.option("--physical", is_flag=True, help="Not a virtual machine.")
@click.option("--region", default=DEFAULT_REGION, show_default=True, help="The region whose date format it prints.")
@state_dir_option
def new(
    name: str,
    products: tuple[str, ...],
    domain: str | None,
    dns: str | None,
    host: HostPort | None,
    kms_version: str,
    physical: bool,
    region: str,
    state_dir: Path | None,
) -> None:
    """Make a machine with these products, in initial grace.

    It has their published client keys.
    """
    with lab_errors_explained():
        made = Machine(
            _checked_name(name),
            uuid4(),
            time.time(),
            domain=None if domain is None else dns_domain(domain),
            dns_server=_dns_server(dns),
            virtual=not physical,
            version=Version(int(kms_version), 0),
            region=find_region(region).name,
        )
        if len(made.full_name) > MAX_MACHINE_NAME:
            raise Refused(f"{made.full_name} is too long: with its domain a machine's name has {MAX_MACHINE_NAME}.")
    if host is not None:
        settings = made.scope(MACHINE)
        settings.host, settings.port = host.host, host.port
    try:
        wanted = list(dict.fromkeys(find(product) for product in products))
    except UnknownProduct as error:
        raise click.ClickException(str(error)) from None
    if sum(product.family != "Office" for product in wanted) > 1:
        raise click.ClickException("a machine has one Windows; the others of --product must be Office products")
    for product in wanted:
        made.install_key(made.add_product(product, made.created), made.created)
    with machine_store(state_folder(state_dir)) as store:
        store.add(made)
    machine_output.print_machine(made)


@machine.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the properties of Windows' WMI classes.")
@state_dir_option
@lab_key_option
def list_machines(as_json: bool, state_dir: Path | None, lab_key: Path | None) -> None:
    """List all machines with their licences."""
    folder = state_folder(state_dir)
    with machine_store(folder) as store:
        machines = store.all()
    if as_json:
        machine_output.print_json(machines, key_if_any(lab_key, folder))
    else:
        machine_output.print_table(machines)


@machine.command()
@click.argument("name", shell_complete=completing.lab_machines)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the properties of Windows' WMI classes.")
@state_dir_option
@lab_key_option
def show(name: str, as_json: bool, state_dir: Path | None, lab_key: Path | None) -> None:
    """Show one machine and its licences.

    It shows the machine's identity, its products, and how it finds its KMS host.
    """
    folder = state_folder(state_dir)
    with machine_store(folder) as store:
        found = store.get(name)
    if as_json:
        machine_output.print_json(found, key_if_any(lab_key, folder))
    else:
        machine_output.print_machine(found)


@machine.command()
@click.argument("name", shell_complete=completing.lab_machines)
@click.argument("value", required=False)
@click.argument("text", required=False)
@click.option("--key", "below", default="", metavar="ID[\\ID]", help="The key of an application, or of its product.")
@click.option("--delete", "deletes", is_flag=True, help="Remove the VALUE.")
@json_option
@state_dir_option
def registry(
    name: str,
    value: str | None,
    text: str | None,
    below: str,
    deletes: bool,
    as_json: bool,
    state_dir: Path | None,
) -> None:
    r"""Show or set a machine's registry values for licensing.

    Puppet, group policies and scripts write them. They are under HKLM\\SOFTWARE\\Microsoft\\Windows
    NT\\CurrentVersion\\SoftwareProtectionPlatform: KeyManagementServiceName, KeyManagementServicePort,
    KeyManagementServiceLookupDomain, VLActivationType and DisableKeyManagementServiceHostCaching. With a VALUE and
    a TEXT it is set.
    """
    with held_machines(state_folder(state_dir), name) as store:
        found = store.get(name)
        try:
            if value is not None and deletes:
                windows_registry.remove(found, below.lower(), value)
            elif value is not None and text is not None:
                windows_registry.write(found, below.lower(), value, text)
            elif as_json:
                say_json(
                    [
                        {"key": each.key, "name": each.name, "type": each.kind, "data": each.text}
                        for each in windows_registry.entries(found)
                        if value is None or value.lower() in each.name.lower()
                    ]
                )
                return
            else:
                for line in windows_registry.reg(found, ["query", windows_registry.KEY, "/s"]):
                    if value is None or value.lower() in line.lower():
                        click.echo(line)
                return
        except windows_registry.RegistryError as error:
            raise Refused(str(error)) from None
        store.save(found)


@machine.command()
@click.argument("source")
@click.argument("name", shell_complete=completing.lab_machines)
@click.option("--generalize", is_flag=True, help="Run sysprep /generalize first, as you should.")
@state_dir_option
def clone(source: str, name: str, generalize: bool, state_dir: Path | None) -> None:
    """Copy a machine, with its CMID.

    This is the mistake of an image without sysprep /generalize.
    """
    with machine_store(state_folder(state_dir)) as store:
        copy = store.get(source)
        copy.name = _checked_name(name)
        for licence in copy.licences:
            licence.client.machine_name = copy.full_name
        if generalize:
            _generalise(copy)
        store.add(copy)
        if not generalize:
            click.echo(
                f"{copy.name} has the CMID of {source}, {copy.cmid}: a KMS host counts the two as one. "
                f"Cure: kmstwist lab machine generalize {copy.name}"
            )


@machine.command(name="generalize")
@click.argument("name", shell_complete=completing.lab_machines)
@state_dir_option
def generalize_machine(name: str, state_dir: Path | None) -> None:
    """Do what sysprep /generalize does.

    The machine gets a new CMID and a new grace period, and has one rearm less.
    """
    with held_machines(state_folder(state_dir), name) as store:
        found = store.get(name)
        _generalise(found)
        store.save(found)
        click.echo(f"{found.name} has a new CMID, {found.cmid}. Rearms left: {found.rearms_left}.")


@machine.command()
@click.argument("name", shell_complete=completing.lab_machines)
@click.argument("days", type=FiniteRange(0, 4000, min_open=True))
@click.option("--on", is_flag=True, help="The machine is switched on meanwhile and asks its host whenever it is due.")
@timeout_option
@state_dir_option
@lab_key_option
def age(name: str, days: float, on: bool, timeout: float, state_dir: Path | None, lab_key: Path | None) -> None:
    """Make a machine DAYS older, to see what happens then.

    Without --on, it is switched off meanwhile. With --on, it asks at once and then every 2 hours until it is licensed,
    renews after 7 days, and tries again every 2 hours if that fails. The connections are real; only the waiting is left
    out. Its log has every attempt.
    """
    folder = state_folder(state_dir)
    seconds = days * 86_400
    key = load_key(lab_key, folder) if on else None
    with held_machines(folder, name) as store:
        found = store.get(name)
        store.age_events(name, seconds)
        if key is not None:
            try:
                attempts = machine_output.live_for(found, seconds, key, timeout)
            finally:
                store.save(found)
            machine_output.print_attempts(attempts)
        else:
            found.age(seconds)
            store.save(found)
        machine_output.print_machine(found)


@machine.command(epilog="\b\n" + "\n".join(["Troubles:", *trouble_lines()]))
@click.argument("name", shell_complete=completing.lab_machines)
@click.argument("trouble", type=click.Choice([*TROUBLES, NONE]), metavar="TROUBLE")
@click.option(
    "--product",
    shell_complete=completing.products,
    help="The product to put it on; by default Windows, or else the machine's first product.",
)
@state_dir_option
def trouble(name: str, trouble: str, product: str | None, state_dir: Path | None) -> None:
    """Give a machine a trouble to practise on, or end it.

    The trouble `none` ends it.
    """
    with held_machines(state_folder(state_dir), name) as store:
        found = store.get(name)
        licence = _licence_of(found, product)
        if trouble == NONE:
            relieve(found, licence, time.time())
            click.echo(f"{licence.product.name} on {found.name} has no trouble.")
        else:
            chosen = TROUBLES[trouble]
            afflict(found, licence, chosen, time.time())
            click.echo(f"{licence.product.name} on {found.name}, 0x{chosen.code:08X}: {chosen.seen}.")
            click.echo(f"Cure: {chosen.cure}.")
        store.save(found)


def _licence_of(found: Machine, product: str | None) -> Licence:
    """The licence of a product, by default that of Windows. Raises `Refused` if there is none."""
    if product is not None:
        try:
            wanted = find(product)
        except UnknownProduct as error:
            raise Refused(str(error)) from None
        licences = [licence for licence in found.licences if licence.product == wanted]
    else:
        licences = sorted(found.licences, key=lambda licence: (not licence.is_windows, licence.partial_key is None))
    if not licences:
        raise Refused(f"{found.name} has no {product or 'product'}: kmstwist lab machine show {found.name}")
    return licences[0]


@machine.command()
@click.argument("name", shell_complete=completing.lab_machines)
@state_dir_option
def delete(name: str, state_dir: Path | None) -> None:
    """Delete a machine and its event log."""
    with held_machines(state_folder(state_dir), name) as store:
        store.delete(name)
    click.echo(f"{name} is deleted.")


def _generalise(found: Machine) -> None:
    if found.rearms_left < 1:
        raise Published(TOO_MANY_REARMS)
    found.rearms_left -= 1
    found.generalise(uuid4(), time.time())


def _checked_name(name: str) -> str:
    checked_machine_name(name)
    if name.lower() == HOST:
        raise Refused(f'"{HOST}" is the lab host itself: choose another name')
    return name


def _dns_server(text: str | None) -> HostPort | None:
    if text is None:
        return None
    try:
        return parse_host_port(text, DNS_PORT)
    except AddressError as error:
        raise Refused(f"--dns: {error}") from None
