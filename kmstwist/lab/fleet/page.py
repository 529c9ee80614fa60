"""A fleet's result as one HTML page: charts that answer to the mouse, and nothing loaded from anywhere.

The charts are drawn by some 400 lines of script of our own (`page.js`) in a canvas: a page of 150 KB, where one with a
charting library inside would have 4 MB, to be mailed to people who want to look at three charts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from kmstwist import __version__
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.fleet.record import STATES, FleetResult
from kmstwist.lab.fleet.report import STATE_WORDS, compared, figures, rows, text

MAX_LISTED_LOSSES = 500

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
    title = " and ".join(result.scenario.name for result in results)
    sections = [_compared(results)] if len(results) > 1 else []
    sections += [_section(result, f"run{number}") for number, result in enumerate(results)]
    data = {f"run{number}": _data(result) for number, result in enumerate(results)}
    return _TEMPLATE.format(
        title=escape(title),
        style=_resource("page.css"),
        sections="\n".join(sections),
        data=_script_safe(json.dumps(data, separators=(",", ":"))),
        script=_resource("page.js"),
        version=escape(__version__),
    )


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{sections}
<footer>Simulated by kmstwist {version}, lab clients and lab hosts in virtual time. All times are UTC.</footer>
</main>
<script id="data" type="application/json">{data}</script>
<script>
{script}
</script>
</body>
</html>
"""


def _section(result: FleetResult, ident: str) -> str:
    figure = figures(result)
    cards = [
        _card(f"{figure.machines:,}", "machines", f"{result.scenario.days:g} days from {text(result.begins)[:10]}", ""),
        _card(
            f"{figure.at_end[LicenseStatus.LICENSED]:,}",
            "licensed at the end",
            f"of {sum(figure.at_end.values()):,} licences there then",
            "good" if figure.at_end[LicenseStatus.LICENSED] == sum(figure.at_end.values()) else "bad",
        ),
        _card(
            f"{figure.lost + figure.never_licensed:,}",
            "lost activation",
            f"{figure.lost:,} ran out after 180 days, {figure.never_licensed:,} never had one",
            "bad" if figure.lost + figure.never_licensed else "good",
        ),
        _card(
            f"{figure.reduced:,}",
            "saw notifications",
            f"at most {figure.most_in_notification:,} at once",
            "bad" if figure.reduced else "good",
        ),
        _card(f"{figure.peak_requests:,}", "requests in the busiest hour", _peak(result), ""),
    ]
    summary = "".join(f"<tr><th>{escape(heading)}</th><td>{escape(value)}</td></tr>" for heading, value in rows(result))
    return f"""<section id="{ident}">
<h1>{escape(result.scenario.name)}</h1>
<p class="lead">{escape(result.scenario.description)}</p>
<div class="cards">{"".join(cards)}</div>
<h2>Licences by state</h2>
<div class="chart" data-run="{ident}" data-chart="states" data-title="Licences by state"></div>
<h2>Requests in each hour</h2>
<div class="chart" data-run="{ident}" data-chart="requests" data-title="Requests in each hour"></div>
{_counts(result, ident)}
<p class="hint">Drag across a chart to look closer, double-click to see all again; click a name to hide it. On the
keyboard: Tab to a chart, arrows walk through its hours (with Shift: days), + and - look closer and less close, Escape
shows all again.</p>
<h2>Summary</h2>
<table class="summary">{summary}</table>
{_losses(result)}
</section>"""


def _counts(result: FleetResult, ident: str) -> str:
    """The place of the counts' chart; none where no host ever counted anybody, or none could be asked for it."""
    if not any(result.counts.values()):
        return ""
    return f"""<h2>Client count at the hosts</h2>
<div class="chart" data-run="{ident}" data-chart="counts" data-title="Client count at the hosts"></div>
"""


def _peak(result: FleetResult) -> str:
    figure = figures(result)
    if figure.peak_at is None:
        return "none"
    return f"{figure.peak_host}, {text(figure.peak_at)[:16].replace('T', ' ')}"


def _card(value: str, what: str, more: str, mood: str) -> str:
    return (
        f'<div class="card {mood}"><div class="value">{escape(value)}</div><div class="what">{escape(what)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


def _losses(result: FleetResult) -> str:
    if not result.losses:
        return "<h2>Who would have lost activation</h2><p>Nobody.</p>"

    def cell(moment: float | None) -> str:
        return "" if moment is None else text(moment).replace("T", " ").rstrip("Z")

    lines = "".join(
        f"<tr><td>{escape(loss.machine)}</td><td>{escape(loss.product)}</td><td>{escape(loss.site)}</td>"
        f"<td>{cell(loss.lost_at)}</td><td>{cell(loss.notified_at)}</td><td>{cell(loss.restored_at)}</td></tr>"
        for loss in result.losses[:MAX_LISTED_LOSSES]
    )
    more = len(result.losses) - MAX_LISTED_LOSSES
    note = f"<p>And {more:,} more; --json has all.</p>" if more > 0 else ""
    return (
        f"<h2>Who would have lost activation</h2><details><summary>{len(result.losses):,} licences</summary>"
        "<div class='wide'><table class='losses'><thead><tr><th>machine</th><th>product</th><th>site</th>"
        f"<th>ran out</th><th>notification</th><th>licensed again</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>{note}</details>"
    )


def _compared(results: Sequence[FleetResult]) -> str:
    first, second = results
    lines = "".join(
        f'<tr class="{"differs" if one != two else ""}"><th>{escape(heading)}</th><td>{escape(one)}</td>'
        f"<td>{escape(two)}</td></tr>"
        for heading, one, two in compared(first, second)
    )
    return (
        f"<section><h1>{escape(first.scenario.name)} and {escape(second.scenario.name)}</h1>"
        f"<table class='summary'><thead><tr><th></th><th>{escape(first.scenario.name)}</th>"
        f"<th>{escape(second.scenario.name)}</th></tr></thead><tbody>{lines}</tbody></table></section>"
    )


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
    """A series with its values as runs: how often, what, how often, what."""
    runs: list[int] = []
    for value in values:
        if runs and runs[-1] == value:
            runs[-2] += 1
        else:
            runs += [1, value]
    return {"name": name, "colour": colour, "runs": runs}


def _script_safe(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _resource(name: str) -> str:
    return resources.files("kmstwist.lab.fleet").joinpath(name).read_text(encoding="utf-8")
