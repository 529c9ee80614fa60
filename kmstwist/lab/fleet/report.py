"""A fleet's result for people and programs: key figures, JSON, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import explain
from kmstwist.lab.fleet.record import HOUR, STATES, FleetResult, summed

STATE_WORDS = {
    LicenseStatus.LICENSED: "licensed",
    LicenseStatus.OOB_GRACE: "initial grace",
    LicenseStatus.OOT_GRACE: "grace after expiry",
    LicenseStatus.NOTIFICATION: "notification",
}
STATE_KEYS = {
    LicenseStatus.LICENSED: "licensed",
    LicenseStatus.OOB_GRACE: "initial_grace",
    LicenseStatus.OOT_GRACE: "expired_grace",
    LicenseStatus.NOTIFICATION: "notification",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run that people compare. Moments are Unix seconds, None for never.

    `lost` counts activations that ran out after 180 days, `reduced` licences that entered notification mode,
    `not_restored` those of both that were never licensed again, `never_on` licences of machines that were never on.
    `peak_requests` is the most requests that one host or gateway got in an hour, `peak_host` says which, `peak_at`
    when.
    """

    machines: int
    licences: int
    attempts: int
    unanswered: int
    at_end: dict[LicenseStatus, int]
    all_licensed_at: float | None
    lost: int
    reduced: int
    not_restored: int
    never_on: int
    never_licensed: int
    most_in_grace: int
    most_in_notification: int
    peak_requests: int
    peak_host: str
    peak_at: float | None
    median_requests: int


def figures(result: FleetResult) -> Figures:
    """The key figures of a run."""
    totals = {state: result.total(state) for state in STATES}
    peak_host, peak, peak_hour = "", 0, 0
    for name, requests in result.requests.items():
        hour = max(range(result.hours), key=requests.__getitem__)
        if requests[hour] > peak:
            peak_host, peak, peak_hour = name, requests[hour], hour
    busy = sorted(value for value in summed(list(result.requests.values()), result.hours) if value)
    return Figures(
        machines=result.machines,
        licences=result.licences,
        attempts=result.attempts,
        unanswered=sum(result.unanswered),
        at_end={state: series[-1] for state, series in totals.items()},
        all_licensed_at=result.all_licensed_at,
        lost=sum(loss.lost_at is not None for loss in result.losses),
        reduced=sum(loss.notified_at is not None for loss in result.losses),
        not_restored=sum(loss.restored_at is None for loss in result.losses),
        never_on=result.never_on,
        never_licensed=result.never_licensed,
        most_in_grace=max(map(sum, zip(totals[STATES[1]], totals[STATES[2]], strict=True))),
        most_in_notification=max(totals[LicenseStatus.NOTIFICATION]),
        peak_requests=peak,
        peak_host=peak_host,
        peak_at=result.begins + peak_hour * HOUR if peak else None,
        median_requests=busy[len(busy) // 2] if busy else 0,
    )


def rows(result: FleetResult) -> list[tuple[str, str]]:
    """The summary, as pairs of a heading and a text."""
    figure = figures(result)

    def when(moment: float | None) -> str:
        return "never" if moment is None else f"{day(result, moment)} ({text(moment)})"

    at_end = ", ".join(f"{count:,} {STATE_WORDS[state]}" for state, count in figure.at_end.items() if count)
    summary = [
        ("machines", f"{figure.machines:,} with {figure.licences:,} licences, {result.scenario.days:g} days"),
        *_never_on(figure),
        ("all licensed", when(figure.all_licensed_at)),
        ("at the end", at_end or "no machine is there"),
        ("most in grace", f"{figure.most_in_grace:,} at once"),
        ("most in notification", f"{figure.most_in_notification:,} at once"),
        ("lost their activation", f"{figure.lost:,} after 180 days without renewal"),
        ("came to notification", f"{figure.reduced:,}, of all these {figure.not_restored:,} not licensed again"),
        ("never licensed", f"{figure.never_licensed:,}"),
        ("attempts", f"{figure.attempts:,}, of which {figure.unanswered:,} got no answer"),
    ]
    if figure.peak_at is not None:
        summary.append(
            (
                "busiest hour",
                f"{figure.peak_requests:,} requests ({figure.peak_requests / HOUR:.2g}/s) at {figure.peak_host} on "
                f"{when(figure.peak_at)}; half of the busy hours have {figure.median_requests:,} or fewer in all",
            )
        )
    summary += [
        (
            f"count of {threshold.required} at {threshold.host}",
            f"{when(threshold.reached_at)}, for {threshold.application}",
        )
        for threshold in result.thresholds
    ]
    for code, number in result.outcomes.items():
        if code:
            explanation = explain(code)
            summary.append((f"0x{code:08X}", f"{number:,} times: {explanation.text if explanation else 'unknown'}"))
    return summary


def _never_on(figure: Figures) -> list[tuple[str, str]]:
    if not figure.never_on:
        return []
    if figure.never_on < figure.licences:
        return [("never switched on", f"machines with {figure.never_on:,} licences, in all this time")]
    return [("never switched on", "all of them, in all this time: see start, days, joins and office_hours")]


def document(result: FleetResult) -> dict[str, Any]:
    """The whole result as JSON values: moments in ISO 8601, series with one entry for each hour."""
    figure = figures(result)
    return {
        "scenario": result.scenario.name,
        "description": result.scenario.description,
        "seed": result.scenario.seed,
        "begins": text(result.begins),
        "hours": result.hours,
        "machines": figure.machines,
        "licences": figure.licences,
        "attempts": figure.attempts,
        "unanswered_attempts": figure.unanswered,
        "at_end": {STATE_KEYS[state]: count for state, count in figure.at_end.items()},
        "all_licensed_at": _text(figure.all_licensed_at),
        "lost": figure.lost,
        "came_to_notification": figure.reduced,
        "not_restored": figure.not_restored,
        "never_on": figure.never_on,
        "never_licensed": figure.never_licensed,
        "peak": {"requests": figure.peak_requests, "at": figure.peak_host, "hour": _text(figure.peak_at)},
        "outcomes": {f"0x{code:08X}": number for code, number in result.outcomes.items()},
        "thresholds": [
            {
                "host": threshold.host,
                "application": threshold.application,
                "required": threshold.required,
                "reached_at": text(threshold.reached_at),
            }
            for threshold in result.thresholds
        ],
        "away": [{"what": span.what, "from": text(span.begins), "to": text(span.ends)} for span in result.away],
        "losses": [
            {
                "machine": loss.machine,
                "product": loss.product,
                "group": loss.group,
                "site": loss.site,
                "lost_at": _text(loss.lost_at),
                "notified_at": _text(loss.notified_at),
                "restored_at": _text(loss.restored_at),
                "state_at_end": STATE_KEYS.get(loss.state, loss.state.name.lower()),
            }
            for loss in result.losses
        ],
        "hourly": {
            "states": {
                family: {STATE_KEYS[state]: series for state, series in by_state.items()}
                for family, by_state in result.states.items()
            },
            "requests": result.requests,
            "unanswered": result.unanswered,
            "counts": result.counts,
        },
    }


def write_json(result: FleetResult, file: IO[str]) -> None:
    """Write `document`."""
    json.dump(document(result), file, indent=1)
    file.write("\n")


def write_csv(result: FleetResult, file: IO[str]) -> None:
    """Write one line for each hour: the states of all licences, each host's requests and counts."""
    writer = csv.writer(file)
    columns: list[tuple[str, list[int]]] = [(STATE_KEYS[state], result.total(state)) for state in STATES]
    columns += [(f"requests {name}", series) for name, series in result.requests.items()]
    columns.append(("unanswered", result.unanswered))
    for name, counts in result.counts.items():
        columns += [(f"count {name} {application}", series) for application, series in counts.items()]
    writer.writerow(["hour_ending", *(name for name, _ in columns)])
    for hour in range(result.hours):
        writer.writerow([text(result.begins + (hour + 1) * HOUR), *(series[hour] for _, series in columns)])


def compared(first: FleetResult, second: FleetResult) -> Iterable[tuple[str, str, str]]:
    """Two runs' key figures side by side: heading, first, second."""
    one, two = figures(first), figures(second)

    def both(heading: str, values: tuple[int, int]) -> tuple[str, str, str]:
        return heading, f"{values[0]:,}", f"{values[1]:,}"

    yield "days", f"{first.scenario.days:g}", f"{second.scenario.days:g}"
    yield both("machines", (one.machines, two.machines))
    yield both("licences", (one.licences, two.licences))
    yield "all licensed", _day(first, one.all_licensed_at), _day(second, two.all_licensed_at)
    for state in STATES:
        yield both(f"{STATE_WORDS[state]} at the end", (one.at_end[state], two.at_end[state]))
    yield both("most in grace at once", (one.most_in_grace, two.most_in_grace))
    yield both("most in notification at once", (one.most_in_notification, two.most_in_notification))
    yield both("lost their activation", (one.lost, two.lost))
    yield both("came to notification", (one.reduced, two.reduced))
    yield both("of these not licensed again", (one.not_restored, two.not_restored))
    yield both("never switched on", (one.never_on, two.never_on))
    yield both("never licensed", (one.never_licensed, two.never_licensed))
    yield both("attempts", (one.attempts, two.attempts))
    yield both("attempts without an answer", (one.unanswered, two.unanswered))
    yield both("requests in the busiest hour", (one.peak_requests, two.peak_requests))
    yield "busiest hour", _day(first, one.peak_at), _day(second, two.peak_at)


def day(result: FleetResult, moment: float) -> str:
    """A moment as days since the start."""
    return f"day {(moment - result.begins) / 86_400:.2f}"


def text(moment: float) -> str:
    """A moment in UTC, to the minute."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _text(moment: float | None) -> str | None:
    return None if moment is None else text(moment)


def _day(result: FleetResult, moment: float | None) -> str:
    return "never" if moment is None else day(result, moment)
