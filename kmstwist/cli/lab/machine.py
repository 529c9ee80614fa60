"""`kmstwist lab machine`: simulated clients that last."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from kmstwist.addresses import DEFAULT_PORT, AddressError, HostPort, parse_host_port
from kmstwist.cli.common import HOST_PORT, FiniteRange, run_reactor
from kmstwist.cli.lab.common import (
    asking_on,
    checked_machine_name,
    held_machines,
    lab_key_option,
    load_key,
    machine_store,
    state_dir_option,
    state_folder,
    timeout_option,
    told,
)
from kmstwist.discovery.lookup.names import DNS_PORT
from kmstwist.kms.catalogue import UnknownProduct, find
from kmstwist.kms.messages import MAX_MACHINE_NAME
from kmstwist.kms.version import Version
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.living import Attempt, live
from kmstwist.lab.machines.machine import MACHINE, Licence, Machine
from kmstwist.lab.machines.regions import DEFAULT as DEFAULT_REGION
from kmstwist.lab.machines.regions import region as find_region
from kmstwist.lab.machines.session import dns_domain
from kmstwist.lab.machines.troubles import NONE, TROUBLES, afflict, relieve, trouble_lines
from kmstwist.lab.slmgr.host import HOST
from kmstwist.lab.slmgr.show import STATUS_WORDS

_WIDTH_WITH_CMID = 120
"""Columns a terminal needs for `list` to have the CMIDs; on a narrower one `show` has them."""
_PIPED_WIDTH = 200
_NEW_MACHINE_HELP = "May be repeated: Windows and Office on one machine."


@click.group()
def machine() -> None:
    """Lab machines: simulated clients with a state that lasts, for practising slmgr and ospp."""


@machine.command()
@click.argument("name")
@click.option("--product", "products", multiple=True, required=True, help=f"A product's name. {_NEW_MACHINE_HELP}")
@click.option("--domain", help="The machine's DNS domain, in which it discovers KMS hosts.")
@click.option("--dns", metavar="HOST[:PORT]", help="The DNS server it asks; by default as this computer does.")
@click.option("--host", type=HOST_PORT, help="Set the KMS host by hand, as slmgr /skms does.")
@click.option("--kms-version", type=click.Choice(["4", "5", "6"]), default="6", show_default=True)
@click.option("--physical", is_flag=True, help="Not a virtual machine.")
@click.option("--region", default=DEFAULT_REGION, show_default=True, help="The region in whose form it prints dates.")
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
    """Make a machine with these products and their published client keys, in initial grace."""
    with told():
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
    _print_machine(made)


@machine.command("list")
@state_dir_option
def list_machines(state_dir: Path | None) -> None:
    """List all machines with their licences."""
    with machine_store(state_folder(state_dir)) as store:
        machines = store.all()
    console = Console(highlight=False)
    if not console.is_terminal:
        # A program reads it: what belongs together stays on one line.
        console = Console(highlight=False, width=_PIPED_WIDTH)
    if not machines:
        console.print("There are no lab machines; kmstwist lab machine new NAME --product PRODUCT makes one.")
        return
    table = Table(box=None, header_style="bold")
    with_cmid = console.width >= _WIDTH_WITH_CMID
    for heading in ("machine", "product", "licence", "days left", *(("CMID",) if with_cmid else ())):
        table.add_column(heading, justify="right" if heading == "days left" else "left", no_wrap=heading == "CMID")
    now = time.time()
    for found in machines:
        first = True
        for licence in found.licences:
            client = licence.client
            status = client.advance(now)
            left = "" if client.expires is None else f"{(client.expires - now) / 86_400:.1f}"
            words = "Licensed by telephone" if licence.by_phone else STATUS_WORDS[status].partition(" (")[0]
            name, cmid = (found.name, str(found.cmid)) if first else ("", "")
            table.add_row(name, licence.product.name, words, left, *((cmid,) if with_cmid else ()))
            first = False
    console.print(table)
    _warn_of_clones(console, machines)


@machine.command()
@click.argument("name")
@state_dir_option
def show(name: str, state_dir: Path | None) -> None:
    """Show one machine: who it is, what is on it, how it finds its KMS host."""
    with machine_store(state_folder(state_dir)) as store:
        _print_machine(store.get(name))


@machine.command()
@click.argument("source")
@click.argument("name")
@click.option("--generalize", is_flag=True, help="Run sysprep /generalize first, as one should.")
@state_dir_option
def clone(source: str, name: str, generalize: bool, state_dir: Path | None) -> None:
    """Copy a machine, with its CMID: the mistake that an image without sysprep /generalize is."""
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
@click.argument("name")
@state_dir_option
def generalize_machine(name: str, state_dir: Path | None) -> None:
    """Do what sysprep /generalize does: a CMID of its own, grace anew, one rearm less."""
    with held_machines(state_folder(state_dir), name) as store:
        found = store.get(name)
        _generalise(found)
        store.save(found)
        click.echo(f"{found.name} has a new CMID, {found.cmid}. Rearms left: {found.rearms_left}.")


@machine.command()
@click.argument("name")
@click.argument("days", type=FiniteRange(0, 4000, min_open=True))
@click.option("--on", is_flag=True, help="The machine is switched on meanwhile and asks its host whenever it is due.")
@timeout_option
@state_dir_option
@lab_key_option
def age(name: str, days: float, on: bool, timeout: float, state_dir: Path | None, lab_key: Path | None) -> None:
    """Let a machine be DAYS older, to see what comes then: as if it had been off, or with --on switched on.

    Switched on it asks at once and then every 2 hours until it is licensed, renews after 7 days, and tries again every
    2 hours where that fails, over real connections; only the waiting is left out. Its log has every attempt.
    """
    folder = state_folder(state_dir)
    seconds = days * 86_400
    key = load_key(lab_key, folder) if on else None
    with held_machines(folder, name) as store:
        found = store.get(name)
        store.age_events(name, seconds)
        if key is not None:
            try:
                attempts = _live(found, seconds, key, timeout)
            finally:
                store.save(found)
            _print_attempts(attempts)
        else:
            found.age(seconds)
            store.save(found)
        _print_machine(found)


def _live(found: Machine, seconds: float, key: LabKey, timeout: float) -> list[Attempt]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"{found.name} lives {seconds / 86_400:g} days", total=1.0)

        async def main(reactor: Any) -> list[Attempt]:
            return await live(
                found, seconds, asking_on(reactor, key, timeout), lambda share: progress.update(bar, completed=share)
            )

        return run_reactor(main)


def _print_attempts(attempts: list[Attempt]) -> None:
    """What came of the attempts, product by product; those that came to the same one after the other on one line."""
    console = Console(highlight=False)
    by_product: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_product.setdefault(attempt.product, []).append(attempt)
    for product, all_of_it in by_product.items():
        console.print(escape(product))
        for error, run in groupby(all_of_it, lambda attempt: "" if attempt.error is None else str(attempt.error)):
            made = list(run)
            when = f"day {made[0].day:.2f}"
            if len(made) > 1:
                when += f" to {made[-1].day:.2f}, {len(made):,} times"
            console.print(f"  {when}: {escape(error) or 'licensed for 180 days'}", soft_wrap=True)


@machine.command(epilog="\b\n" + "\n".join(["Troubles:", *trouble_lines()]))
@click.argument("name")
@click.argument("trouble", type=click.Choice([*TROUBLES, NONE]))
@click.option("--product", help="The product it is put on; by default Windows, or else the first there is.")
@state_dir_option
def trouble(name: str, trouble: str, product: str | None, state_dir: Path | None) -> None:
    """Put a machine in a trouble to practise on, or take it out of one (none)."""
    with held_machines(state_folder(state_dir), name) as store:
        found = store.get(name)
        licence = _licence_of(found, product)
        if trouble == NONE:
            relieve(found, licence, time.time())
            click.echo(f"{licence.product.name} on {found.name} is in no trouble.")
        else:
            chosen = TROUBLES[trouble]
            afflict(found, licence, chosen, time.time())
            click.echo(f"{licence.product.name} on {found.name}, 0x{chosen.code:08X}: {chosen.seen}.")
            click.echo(f"Cure: {chosen.cure}.")
        store.save(found)


def _licence_of(found: Machine, product: str | None) -> Licence:
    """The licence of a product, by default that of Windows; `Refused` where there is none."""
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
@click.argument("name")
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


def _print_machine(found: Machine) -> None:
    console = Console(highlight=False)
    now = time.time()
    host = found.scope(MACHINE)
    by_hand = HostPort(host.host, host.port or DEFAULT_PORT) if host.host else None
    rows: list[tuple[str, object]] = [
        ("machine", found.full_name + (" (virtual)" if found.virtual else "")),
        ("CMID", found.cmid),
        ("previous CMID", found.previous_cmid if found.previous_cmid.int else "none"),
        ("KMS host", by_hand or ("found by DNS" + (f" in {host.lookup_domain}" if host.lookup_domain else ""))),
        ("host caching", ("on" if found.caching else "off") + (f", cached: {found.cached}" if found.cached else "")),
        ("DNS server", found.dns_server or "as this computer"),
        ("rearms left", found.rearms_left),
        ("product key", "in the registry" if found.key_in_registry else "cleared from the registry (/cpky)"),
    ]
    for licence in found.licences:
        status = STATUS_WORDS[licence.client.advance(now)].partition(" (")[0]
        left = licence.client.minutes_left(now)
        ends = f", {left / 1440:.1f} days left" if licence.client.expires is not None else ""
        key = f"key …{licence.partial_key}" if licence.partial_key else "no key"
        rows.append(("product", f"{licence.product.name}: {status}{ends} ({key})"))
    for name, value in rows:
        console.print(f"{name:<14} {value}", soft_wrap=True)


def _warn_of_clones(console: Console, machines: list[Machine]) -> None:
    by_cmid: dict[object, list[str]] = {}
    for found in machines:
        by_cmid.setdefault(found.cmid, []).append(found.name)
    for names in by_cmid.values():
        if len(names) > 1:
            console.print(
                f"[yellow]{', '.join(names)} share a CMID: a KMS host counts them as one "
                "(kmstwist lab machine generalize NAME)[/]"
            )
