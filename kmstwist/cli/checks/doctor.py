"""`kmstwist doctor`: one command that looks at everything and says what is wrong, with its cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kmstwist.cli.common import ANY_PATH, FiniteRange, run_reactor
from kmstwist.cli.where import config_option, whereabouts
from kmstwist.findings import Finding, Health, overall
from kmstwist.shown import visible_lines

if TYPE_CHECKING:
    from kmstwist.configuration.whereabouts import Whereabouts
    from kmstwist.health.case import Case
    from kmstwist.reactor import Reactor

_MARKS = (("ok", "green"), ("odd", "yellow"), ("bad", "bold red"))


@click.command()
@config_option
@click.option("--state-dir", type=ANY_PATH, help="The server's state folder, if it is not the usual one.")
@click.option("--port", type=click.IntRange(1, 65535), help="The server's port, if the configuration does not say it.")
@click.option("--timeout", type=FiniteRange(0.1, 60), default=3.0, show_default=True, help="Seconds a step may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(
    ctx: click.Context, file: Path | None, state_dir: Path | None, port: int | None, timeout: float, as_json: bool
) -> None:
    """Check all that a server needs, and say what to do.

    It checks the configuration, ports, permissions, DNS, KMS hosts, clock, audit and disk. It changes nothing and asks
    for no activation. Exits with 0 if all is well, 1 if something is odd, 2 if something is wrong: the codes of
    monitoring plugins. Run it as root, or as the user that kmstwist runs as.
    """
    from kmstwist.configuration.mistakes import ConfigError
    from kmstwist.health.checks import LOCAL_CHECKS, UNCONFIGURED_CHECKS

    where = whereabouts(config=file, port=port, state_dir=state_dir)
    if not where.may_read:
        checks, where = UNCONFIGURED_CHECKS, where.without_file()
        findings = [
            Finding(
                "configuration",
                Health.DEGRADED,
                "it cannot be read by this user, so what depends on it is not checked",
                "run kmstwist doctor with sudo",
            )
        ]
    else:
        checks, findings = LOCAL_CHECKS, []
    try:
        case = _examine(where)
    except ConfigError as error:
        findings += [
            Finding("configuration", Health.DOWN, mistake.placed, mistake.cure or "kmstwist config check")
            for mistake in error.mistakes
        ]
    else:
        findings += [finding for check in checks for finding in check(case)]
        findings += _ask_others(case, timeout)
    worst = overall(findings)
    if as_json:
        rows = [finding.as_json() for finding in findings]
        told = {"health": worst.word, "verdict": worst.plugin, "findings": rows}
        click.echo(json.dumps(told, indent=2))
    else:
        _print(findings)
    ctx.exit(int(worst))


def _examine(where: Whereabouts) -> Case:
    """The case to examine. Raises `ConfigError`."""
    from kmstwist.health.case import Case
    from kmstwist.health.running import Running, find_server
    from kmstwist.lab.keys import LabKeyError
    from kmstwist.system.rights import rights_in

    effective = where.effective
    try:
        folder, run_dir = where.state_dir.value, where.run_dir.value
    except LabKeyError as error:
        raise click.ClickException(f"{error}; name the folder with --state-dir") from None
    try:
        with rights_in(run_dir.absolute()):
            server = find_server(run_dir, where.port.value, where.name.value)
    except OSError as error:
        # The folder has its own finding.
        server = Running(why=f"no server is asked: {error.strerror}: {error.filename}")
    return Case(effective.config, effective.file, folder, server)


def _ask_others(case: Case, timeout: float) -> list[Finding]:
    async def main(reactor: Reactor) -> list[Finding]:
        from kmstwist.health.network_checks import network_findings

        return await network_findings(reactor, case, timeout)

    return run_reactor(main)


def _print(findings: list[Finding]) -> None:
    """A line for each finding, with its cure below it, and the totals at the end."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.health]
        text = Text(visible_lines(finding.text))
        if finding.cure:
            text.append(f"\ncure: {visible_lines(finding.cure)}", "bold")
        table.add_row(Text(mark, style), finding.name, text)
    console = Console(highlight=False)
    console.print(table)
    wrong = [finding for finding in findings if finding.health]
    if not wrong:
        console.print("All is well.")
    else:
        bad = sum(finding.health is Health.DOWN for finding in wrong)
        console.print(f"{bad} bad, {len(wrong) - bad} odd, {len(findings) - len(wrong)} well.")
