"""`kmstwist lab`: rehearse volume activation with simulated clients."""

from __future__ import annotations

import click

from kmstwist.cli.lazy import LazyGroup, Verb

#: The commands of the group, imported when they are asked for.
_COMMANDS = {
    "activate": Verb("lab.activate:activate", "Activate simulated clients, and show how the count climbs."),
    "machine": Verb("lab.machine:machine", "Keep simulated machines, to practise slmgr and ospp."),
    "slmgr": Verb("lab.practice:slmgr", "Run slmgr on a lab MACHINE; the lab host's name is `host`."),
    "ospp": Verb("lab.practice:ospp", "Run ospp on a lab MACHINE with Office."),
    "events": Verb(
        "lab.practice:events",
        "Print a machine's event log.",
    ),
    "confirm": Verb(
        "lab.practice:confirm",
        "Print the confirmation id for an installation id.",
    ),
    "hostkey": Verb("lab.practice:hostkey", "Print the lab's own host key, to practise slmgr /ipk with."),
    "shim": Verb("lab.shim:shim", "Write a FOLDER of programs that act on a lab machine."),
    "shimmed": Verb("lab.shim:shimmed", None),
    "fleet": Verb("lab.fleet:fleet", "Rehearse what happens to a fleet of machines, in virtual time."),
}


@click.group(cls=LazyGroup, verbs=_COMMANDS)
def lab() -> None:
    """Rehearse volume activation with simulated clients. The lab grants no licences."""
