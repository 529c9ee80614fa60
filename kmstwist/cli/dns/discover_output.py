"""The output of `kmstwist discover`: tables for people, plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kmstwist.discovery.client.as_client import Journey
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed
from kmstwist.discovery.probing import Probed
from kmstwist.discovery.survey import FoundDomain, FoundHost

#: How many characters the column of answers needs to be readable.
_SPEAKS_WIDTH = 30


def as_data(found: tuple[FoundDomain, ...]) -> list[dict[str, object]]:
    """The survey as plain data; every key is always present, with null for no value."""
    return [
        {
            "domain": part.domain.name,
            "origin": part.domain.origin.value,
            "server": None if part.answer.server is None else str(part.answer.server),
            "problem": part.answer.problem.value if isinstance(part.answer, LookupFailed) else None,
            "detail": str(part.answer) if isinstance(part.answer, LookupFailed) else None,
            "hosts": [_host_data(host) for host in part.hosts],
        }
        for part in found
    ]


def _host_data(host: FoundHost) -> dict[str, object]:
    record, resolved = host.record, host.host
    failed = resolved if isinstance(resolved, LookupFailed) else None
    return {
        "host": record.target,
        "port": record.port,
        "priority": record.priority,
        "weight": record.weight,
        "ttl": record.ttl,
        "probability": float(host.probability),
        "aliases": list(resolved.aliases) if isinstance(resolved, HostAnswer) else [],
        "addresses": list(resolved.addresses) if isinstance(resolved, HostAnswer) else [],
        "problem": failed.problem.value if failed else None,
        "detail": str(failed) if failed else None,
        "stranger": host.stranger,
        "probes": [
            {
                "address": address,
                "answers": probed.answers,
                "speaks": probed.speaks,
                "milliseconds": {step: round(took, 2) for step, took in probed.steps},
            }
            for address, probed in host.probes
        ],
    }


def tables(found: tuple[FoundDomain, ...], probed: bool, console: Console) -> Iterator[RenderableType]:
    """A line for each domain, and its hosts in the order in which a client would try them.

    The hosts are a table if the console is wide enough; otherwise each host has lines of its own.
    """
    for part in found:
        yield f"{part.domain.name} ({part.domain.origin})"
        if isinstance(part.answer, LookupFailed):
            yield f"  {part.answer}"
            continue
        if not part.hosts:
            yield '  The record\'s target is ".": this domain says that it has no KMS host.'
            continue
        table = _table(part.hosts, probed)
        # Measured with unlimited width: rich never reports more than the width it is given.
        if console.measure(table, options=console.options.update(width=10_000)).minimum <= console.width:
            yield table
        else:
            for place, host in enumerate(part.hosts, 1):
                yield from _host_lines(place, host, probed)
        strangers = sorted({host.record.target for host in part.hosts if host.stranger})
        for name in strangers:
            yield f"  STRANGER: {name} is in DNS, but not among the known hosts."


def _host_lines(place: int, host: FoundHost, probed: bool) -> Iterator[str]:
    record = host.record
    yield f"{place:>2}  {record.target}:{record.port}"
    yield f"    priority {record.priority}, weight {record.weight}, first {_percent(float(host.probability))}"
    for address, took, what in _results(host, probed):
        yield f"    {address}" + (f" [{took} ms]" if took != "-" else "") + (f": {what}" if what else "")


def _table(hosts: tuple[FoundHost, ...], probed: bool) -> Table:
    table = Table(box=None, pad_edge=True)
    for heading in ("", "Host", "Prio", "Weight", "First", "Address", "ms", "What answers"):
        last = heading == "What answers"
        number = heading in ("Prio", "Weight", "First", "ms")
        table.add_column(
            heading,
            overflow="fold",
            no_wrap=not last,
            justify="right" if number else "left",
            min_width=_SPEAKS_WIDTH if last else None,
        )
    for place, host in enumerate(hosts, 1):
        record = host.record
        first = [
            str(place),
            f"{record.target}:{record.port}",
            str(record.priority),
            str(record.weight),
            _percent(float(host.probability)),
        ]
        for result in _results(host, probed):
            # As Text, since text from DNS must not be read as rich's markup.
            table.add_row(*(Text(cell) for cell in (*first, *result)))
            first = [""] * len(first)
    return table


def _results(host: FoundHost, probed: bool) -> Iterator[tuple[str, str, str]]:
    """For each address of a host: the address, the milliseconds, and what answers there."""
    if isinstance(host.host, LookupFailed):
        yield "-", "-", str(host.host)
        return
    through = f"alias of {host.host.aliases[-1]}" if host.host.aliases else ""
    results: list[tuple[str, Probed | None]] = list(host.probes) if probed else [(a, None) for a in host.host.addresses]
    for address, result in results:
        speaks = "; ".join(text for text in (result.speaks if result else "", through) if text)
        yield address, f"{result.milliseconds:.1f}" if result and result.steps else "-", speaks


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability < 1 else "100%"


def journey_data(journey: Journey) -> dict[str, object]:
    """A client's steps as plain data."""
    return {
        "steps": [
            {
                "action": step.action.value,
                "what": step.what,
                "outcome": step.outcome,
                "good": step.good,
                "milliseconds": None if step.seconds is None else round(step.seconds * 1000, 2),
            }
            for step in journey.steps
        ],
        "host": journey.name,
        "address": None if journey.host is None else str(journey.host),
        "code": journey.code,
        "ending": journey.ending,
    }


def journey_lines(journey: Journey) -> Iterator[str]:
    """A client's steps in numbered lines, each with its outcome and the time it took."""
    for number, step in enumerate(journey.steps, 1):
        took = "" if step.seconds is None else f" [{step.seconds * 1000:.1f} ms]"
        yield f"{number:>2}. {step.action.value:<7} {step.what}{took}"
        yield f"    {'->' if step.good else 'x '} {step.outcome}"
    yield journey.ending
