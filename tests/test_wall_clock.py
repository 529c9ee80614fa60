"""The monotonic clock measures intervals: the wall clock is read only for moments that are shown or stored."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house_rules import modules

PACKAGE = Path(__file__).parents[1] / "kmstwist"
#: The modules that read the wall clock, and why. A wait, timeout, rate or retry is not a reason: use the reactor's
#: `seconds`, or `time.monotonic`.
READERS = {
    "kmstwist.clock": "gives the others the wall clock by its name",
    "kmstwist.logevents": "the time of a log line",
    "kmstwist.conversation.lines": "the time of a log line",
    "kmstwist.audit.service": "the time of a record; how old one may be",
    "kmstwist.audit.central.forward": "when the central store was told last, as it says there",
    "kmstwist.audit.events.importer": "the year of an event whose time has none",
    "kmstwist.server.collecting": "the year of an event whose time has none",
    "kmstwist.server.activators": "a lab's Windows time",
    "kmstwist.server.commands": "when a pause begins, which a server that takes over is told",
    "kmstwist.server.monitoring": "since when a host is as it is, for people",
    "kmstwist.server.dns": "the time in a signature of DNS (TSIG)",
    "kmstwist.server.tap": "since when the server runs, for people",
    "kmstwist.server.notifying": "quiet hours and weekly letters, and what is kept of them over a restart",
    "kmstwist.web.service": "how old a record is, for people",
    "kmstwist.health.libraries": "how old the installed libraries are",
    "kmstwist.lab.windows.powershell": "Get-Date",
    "kmstwist.lab.network_client": "the time in a lab client's request",
    "kmstwist.lab.demo.demonstration": "the time in a lab client's request",
    "kmstwist.lab.fleet.wire": "the time in a lab client's request",
    "kmstwist.cli.lab.activate": "since when a lab client is installed",
    "kmstwist.cli.lab.contacting": "the time in a lab client's request",
    "kmstwist.cli.audit.report": "the period of a report",
    "kmstwist.cli.audit.audit": "how old a record may be",
    "kmstwist.cli.dns.dns": "the time in a signature of DNS (TSIG)",
    "kmstwist.cli.lab.demo": "when the demonstration's year ends",
    "kmstwist.cli.lab.machine": "a lab machine's Windows time",
    "kmstwist.cli.lab.shim": "a lab machine's Windows time",
    "kmstwist.cli.lab.machine_output": "a lab machine's Windows time",
    "kmstwist.cli.lab.tools": "a lab machine's Windows time",
    "kmstwist.cli.logs.log": "the period of a log",
}
#: Functions that read the wall clock, by module and name, or as methods of a class.
WALL = {("time", "time"), ("time", "time_ns"), ("kmstwist.clock", "now")}
METHODS = {"now", "utcnow", "today"}
#: The modules that sleep, and why no client waits for it.
SLEEPERS = {
    "kmstwist.process.ownership": "a start, for another server to let go of its folder",
    "kmstwist.cli.logs.log": "a command that follows a file",
}


def reads(path: Path) -> Iterator[tuple[str, str]]:
    """The names that a file takes from a module, by `from x import y` or `x.y`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


def reads_wall_clock(path: Path) -> bool:
    return any(read in WALL or (read[0] in ("datetime", "date") and read[1] in METHODS) for read in reads(path))


def test_the_wall_clock_is_read_only_for_moments_that_are_shown_or_stored() -> None:
    found = {name for name, path in modules(PACKAGE).items() if reads_wall_clock(path)}
    assert found == READERS.keys()


def test_nothing_that_serves_sleeps() -> None:
    found = {name for name, path in modules(PACKAGE).items() if ("time", "sleep") in reads(path)}
    assert found == SLEEPERS.keys()
