"""How `kmstwist lab machine` shows machines: for a person, and as JSON with the properties of Windows' WMI classes."""

from __future__ import annotations

import json
import time
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from kmstwist.addresses import DEFAULT_PORT, HostPort
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.machine import MACHINE, Machine
from kmstwist.lab.machines.view import View
from kmstwist.lab.slmgr.show import STATUS_WORDS
from kmstwist.lab.windows import cim

if TYPE_CHECKING:
    from kmstwist.lab.machines.living import Attempt
    from kmstwist.reactor import Reactor

_WIDTH_WITH_CMID = 120
"""Columns a terminal needs for `list` to have the CMIDs; on a narrower one `show` has them."""
_PIPED_WIDTH = 200


def print_json(machines: Machine | list[Machine], key: LabKey | None) -> None:
    """A machine, or a list of them. Installation ids are there if the lab's key is."""
    if isinstance(machines, Machine):
        value: object = _as_object(machines, key)
    else:
        value = [_as_object(machine, key) for machine in machines]
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=datetime.isoformat))


def _as_object(machine: Machine, key: LabKey | None) -> dict[str, object]:
    now = time.time()
    return {
        "Name": machine.name,
        "FullName": machine.full_name,
        "Domain": machine.domain,
        "DnsServer": str(machine.dns_server) if machine.dns_server else None,
        "Virtual": machine.virtual,
        "Region": machine.region,
        "PreviousClientMachineID": str(machine.previous_cmid) if machine.previous_cmid.int else None,
        "ProductKeyInRegistry": machine.key_in_registry,
        cim.SERVICE: cim.service(machine),
        cim.PRODUCT: [
            {
                "CatalogueName": licence.product.name,
                "Trouble": licence.trouble or None,
                **cim.product(View(machine, licence, now), key),
            }
            for licence in machine.licences
        ],
    }


def print_table(machines: list[Machine]) -> None:
    """All machines with their licences, and a warning where they share a CMID."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # For a program that reads it: one row stays on one line.
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
            words = "Licensed by telephone" if licence.by_phone else STATUS_WORDS[status]
            name, cmid = (found.name, str(found.cmid)) if first else ("", "")
            table.add_row(name, licence.product.name, words, left, *((cmid,) if with_cmid else ()))
            first = False
    console.print(table)
    _warn_of_clones(console, machines)


def print_machine(found: Machine) -> None:
    """A machine's identity, its products, and how it finds its KMS host."""
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
        status = STATUS_WORDS[licence.client.advance(now)]
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


def print_attempts(attempts: list[Attempt]) -> None:
    """The results of the attempts, product by product; equal results in a row share a line."""
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


def live_for(found: Machine, seconds: float, key: LabKey, timeout: float) -> list[Attempt]:
    """Let a machine live for this many seconds, and show its progress. Returns its attempts."""
    from kmstwist.cli.common import run_reactor
    from kmstwist.cli.lab.contacting import asking_on
    from kmstwist.lab.machines.living import live

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"{found.name} lives {seconds / 86_400:g} days", total=1.0)

        async def main(reactor: Reactor) -> list[Attempt]:
            return await live(
                found, seconds, asking_on(reactor, key, timeout), lambda share: progress.update(bar, completed=share)
            )

        return run_reactor(main)
