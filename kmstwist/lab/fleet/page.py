"""A fleet's result as one HTML page: charts for the mouse and the keyboard, without anything loaded from elsewhere.

The page contains everything, including uPlot (`kmstwist.charts`), so that it can be sent by mail. Each chart also has
its numbers as a table.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kmstwist import __version__, charts
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.fleet.record import HOUR, STATES, FleetResult
from kmstwist.lab.fleet.report import STATE_WORDS, compared, figures, rows, text

MAX_LISTED_LOSSES = 500
#: The most rows of a chart's table; in a longer run each row covers several days.
MAX_TABLE_ROWS = 370

_STATE_COLOURS = {
    LicenseStatus.LICENSED: "#2f9e6e",
    LicenseStatus.OOB_GRACE: "#4f86d9",
    LicenseStatus.OOT_GRACE: "#e8a33d",
    LicenseStatus.NOTIFICATION: "#cf4b4b",
}
_LINE_COLOURS = ("#3b6fc4", "#9a5fc0", "#1f9aa5", "#c2703d", "#5b8c2a", "#b84a7d")
_UNANSWERED = "#cf4b4b"


def page(results: Sequence[FleetResult]) -> str:
    """The page for one run, or for two to compare."""
    runs = [_Run(f"run{number}", result) for number, result in enumerate(results)]
    style, script = f"{charts.style()}\n{_resource('page.css')}", charts.script()
    return _template().render(
        title=" and ".join(result.scenario.name for result in results),
        policy=f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}",
        # The contents of these elements must be byte for byte those that the policy allows.
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704 - our own files
        data=_script_safe(json.dumps({run.ident: run.data for run in runs}, separators=(",", ":"))),
        runs=runs,
        compared=list(compared(*results)) if len(results) > 1 else [],
        version=__version__,
        most=MAX_LISTED_LOSSES,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("kmstwist.lab.fleet", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html")


def _allowed(text: str) -> str:
    """The source expression that allows this text inside the page, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class _Run:
    """What the page shows of one run."""

    def __init__(self, ident: str, result: FleetResult) -> None:
        self.ident = ident
        self.result = result
        self.figures = figures(result)
        self.data = _data(result)
        self.summary = rows(result)

    @property
    def cards(self) -> list[tuple[str, str, str, str]]:
        """The key figures: value, label, details, and whether it is good or bad."""
        figure, result = self.figures, self.result
        licensed, there = figure.at_end[LicenseStatus.LICENSED], sum(figure.at_end.values())
        lost = figure.lost + figure.never_licensed
        peak = "none"
        if figure.peak_at is not None:
            peak = f"{figure.peak_host}, {text(figure.peak_at)[:16].replace('T', ' ')}"
        return [
            (f"{figure.machines:,}", "machines", f"{result.scenario.days:g} days from {text(result.begins)[:10]}", ""),
            (
                f"{licensed:,}",
                "licensed at the end",
                f"of {there:,} licences there then",
                "good" if licensed == there else "bad",
            ),
            (
                f"{lost:,}",
                "lost activation",
                f"{figure.lost:,} ran out after 180 days, {figure.never_licensed:,} never had one",
                "bad" if lost else "good",
            ),
            (
                f"{figure.reduced:,}",
                "saw notifications",
                f"at most {figure.most_in_notification:,} at once",
                "bad" if figure.reduced else "good",
            ),
            (f"{figure.peak_requests:,}", "requests in the busiest hour", peak, ""),
        ]

    @property
    def charts(self) -> list[dict[str, Any]]:
        """The charts, each with its table; without the counts if no host ever counted a client."""
        titles = {
            "states": ("Licences by state", "at the end of"),
            "requests": ("Requests in each hour", "in"),
            "counts": ("Client count at the hosts", "at the end of"),
        }
        return [
            {"name": name, "title": titles[name][0], "stacked": chart["stacked"], **self._table(name, titles[name][1])}
            for name, chart in self.data["charts"].items()
            if name != "counts" or any(self.result.counts.values())
        ]

    def _table(self, name: str, when: str) -> dict[str, Any]:
        days = -(-self.result.hours // 24)
        width = -(-days // MAX_TABLE_ROWS)
        caption = f"{when} each day (UTC)" if width == 1 else f"{when} each {width} days (UTC)"
        series = self.data["charts"][name]["series"]
        columns = [_days(_unpacked(one["runs"]), 24 * width, summed=name == "requests") for one in series]
        dates = [text(self.result.begins + at * 24 * width * HOUR)[:10] for at in range(-(-days // width))]
        return {
            "caption": caption,
            "heads": [one["name"] for one in series],
            "rows": list(zip(dates, *columns, strict=True)) if columns else [],
        }

    @property
    def losses(self) -> list[tuple[str, ...]]:
        """The first members that lost their activation or went into notification."""

        def cell(moment: float | None) -> str:
            return "" if moment is None else text(moment).replace("T", " ").rstrip("Z")

        return [
            (
                loss.machine,
                loss.product,
                loss.site,
                cell(loss.lost_at),
                cell(loss.notified_at),
                cell(loss.restored_at),
            )
            for loss in self.result.losses[:MAX_LISTED_LOSSES]
        ]


def _unpacked(runs: list[int]) -> list[int]:
    return [value for often, value in zip(runs[::2], runs[1::2], strict=True) for _ in range(often)]


def _days(hourly: list[int], width: int, *, summed: bool) -> list[int]:
    parts = [hourly[at : at + width] for at in range(0, len(hourly), width)]
    return [sum(part) if summed else part[-1] for part in parts]


def _data(result: FleetResult) -> dict[str, Any]:
    states = [_series(STATE_WORDS[state], _STATE_COLOURS[state], result.total(state)) for state in STATES]
    requests = [
        _series(name, _LINE_COLOURS[number % len(_LINE_COLOURS)], series)
        for number, (name, series) in enumerate(result.requests.items())
    ]
    if any(result.unanswered):
        requests.append(_series("attempts without an answer", _UNANSWERED, result.unanswered))
    named = [
        (f"{name}, {application}", series)
        for name, counts in result.counts.items()
        for application, series in counts.items()
    ]
    counts = [
        _series(name, _LINE_COLOURS[number % len(_LINE_COLOURS)], series) for number, (name, series) in enumerate(named)
    ]
    return {
        "begins": result.begins,
        "hours": result.hours,
        "away": [{"what": span.what, "from": span.begins, "to": span.ends} for span in result.away],
        "marks": sorted({threshold.required for threshold in result.thresholds}),
        "charts": {
            "states": {"stacked": True, "series": [entry for entry in states if any(entry["runs"][1::2])]},
            "requests": {"stacked": False, "series": requests},
            "counts": {"stacked": False, "series": counts},
        },
    }


def _series(name: str, colour: str, values: list[int]) -> dict[str, Any]:
    """A series in run-length encoding: number, value, number, value."""
    runs: list[int] = []
    for value in values:
        if runs and runs[-1] == value:
            runs[-2] += 1
        else:
            runs += [1, value]
    return {"name": name, "colour": colour, "runs": runs}


def _script_safe(text: str) -> Markup:
    """JSON that cannot end the script element that contains it."""
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704 - that is what it is for


def _resource(name: str) -> str:
    return resources.files("kmstwist.lab.fleet").joinpath(name).read_text(encoding="utf-8")
