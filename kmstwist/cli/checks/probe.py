"""`kmstwist probe`: an RPC-level health check of any KMS host, for people and for monitoring."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kmstwist.addresses import HostPort
from kmstwist.cli.common import HOST_PORT, FiniteRange, run_reactor
from kmstwist.kms.reach import Role
from kmstwist.shown import visible

if TYPE_CHECKING:
    from kmstwist.reactor import Reactor
    from kmstwist.transport.probe import ProbeReport

#: The exit status of a monitoring plugin that could not find out.
_UNKNOWN = 3
#: How many characters of a secondary address are shown: a port number has five, the name of a pipe a few more.
_LONGEST = 64


@click.command()
@click.argument("host", type=HOST_PORT)
@click.option("--timeout", type=FiniteRange(0.1, 300), default=5.0, show_default=True, help="Seconds a step may take.")
@click.option("--through", is_flag=True, help="Let a gateway there ask its hosts now, which checks the whole path.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def probe(ctx: click.Context, host: HostPort, timeout: float, through: bool, as_json: bool) -> None:
    """Check that a KMS host answers at HOST[:PORT].

    It may be a genuine host or kmstwist. The command connects, binds as a Windows client does, and asks the management
    interface whether the server listens; it asks for no activation. Exits with 0 if all is well, 1 if the host answers
    but something is odd, 2 if it does not answer: the codes of monitoring plugins.

    With --through, a gateway checks the hosts behind it now. Exits with 0 if all answered, 1 if some did, 2 if none
    did, and 3 if nothing behind it could be asked: at a genuine host, a lab or an older gateway.
    """
    from kmstwist.transport.endpoints import endpoint_for
    from kmstwist.transport.probe import probe as run_probe

    async def main(reactor: Reactor) -> ProbeReport:
        return await run_probe(reactor, endpoint_for(reactor, host.host, host.port, timeout), timeout, through=through)

    report = run_reactor(main)
    if as_json:
        click.echo(json.dumps(_as_json(host, report), indent=2))
    else:
        _print(host, report)
    ctx.exit(_UNKNOWN if report.unknown else int(report.health))


def _as_json(host: HostPort, report: ProbeReport) -> dict[str, object]:
    health = "unknown" if report.unknown else report.health.word
    facts = {"host": str(host), **asdict(report), "health": health, "verdict": _verdict(report)}
    del facts["unknown"]
    if report.through is not None:
        facts["through"]["role"] = report.through.role.name.lower()
    return facts


def _verdict(report: ProbeReport) -> str:
    return "UNKNOWN" if report.unknown else report.health.plugin


def _print(host: HostPort, report: ProbeReport) -> None:
    """The report: the first line is what a monitoring system shows, with performance data after the bar."""
    timings = (("connect", report.connect_ms), ("bind", report.bind_ms), ("management", report.management_ms))
    data = " ".join(f"{name}={value:.1f}ms" for name, value in timings if value is not None)
    found = report.through
    if found is not None and found.role is Role.GATEWAY:
        data += f" hosts={found.asked} answered={found.answered} through={found.milliseconds}ms"
    click.echo(f"KMS {_verdict(report)} - {host}: {report.summary}" + (f" | {data}" if data else ""))
    for name, value in timings:
        if value is not None:
            click.echo(f"  {name:<12} {value:8.1f} ms")
    for context in report.contexts:
        click.echo(f"  {context.proposed:<24} {context.outcome}")
    if report.fragment_size:
        click.echo(f"  fragment size            {report.fragment_size} bytes")
    if report.secondary_address:
        click.echo(f"  secondary address        {_shown(report.secondary_address)}")


def _shown(text: str) -> str:
    """A peer's text, made harmless for a terminal and cut to one line."""
    shortened = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return visible(shortened)
