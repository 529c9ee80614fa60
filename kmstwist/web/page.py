"""The status page: "is it healthy?" in one glance, for a person. HTML without scripts or anything from outside.

Built with Twisted's template tags, which escape whatever is put into them: a host's error text is data.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from twisted.web.template import Tag, tags

from kmstwist import __version__
from kmstwist.findings import Finding, Health, overall
from kmstwist.reasons import EXPLANATIONS, Reason
from kmstwist.telemetry.counters import Snapshot
from kmstwist.telemetry.judgement import judge

#: Seconds after which a browser asks again.
REFRESH = 10

_WORDS = {
    Health.HEALTHY: ("Healthy", "Clients are answered, and nothing asks for attention."),
    Health.DEGRADED: ("Degraded", "Clients are answered, but somebody should look:"),
    Health.DOWN: ("Down", "Clients are not answered:"),
}
_PHASES = {
    "bind": "from the connection to the bind",
    "call": "from the request to its answer",
    "total": "the whole conversation",
}
#: The sheet of every page. The site's content security policy allows this one and no other.
CSS = """
:root { color-scheme: light dark; --ink: #1c2126; --faint: #5b6570; --ground: #f6f7f8; --card: #fff; --line: #dde1e5;
  --good: #19733a; --warn: #8a5a00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --faint: #9aa5b0; --ground: #14181c; --card: #1d2328;
  --line: #343c44; --good: #5cc483; --warn: #e0a93b; --bad: #ff8a80; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; color: var(--faint); }
h1 { font-size: 1.1rem; margin: 0; color: var(--ink); }
h2 { font-size: .95rem; margin: 0 0 .6rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.2rem;
  margin-top: 1rem; overflow-x: auto; }
.health { border-left: .5rem solid var(--tone); }
.health strong { font-size: 1.9rem; line-height: 1.2; color: var(--tone); display: block; }
.health ul { margin: .4rem 0 0; padding-left: 1.2rem; }
.good { --tone: var(--good) } .warn { --tone: var(--warn) } .bad { --tone: var(--bad) } .plain { --tone: var(--faint) }
.state { color: var(--tone); font-weight: 600; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; margin: 0; }
.numbers div { margin: 0 } dt { color: var(--faint); font-size: .85rem; } dd { margin: 0; font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--faint); font-size: .85rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0 } .n { text-align: right; white-space: nowrap; }
code { font-size: .9em; white-space: nowrap; } footer { color: var(--faint); margin-top: 1rem; font-size: .85rem; }
a { color: inherit } h1 a { text-decoration: none }
.row td:first-child { color: var(--tone); font-weight: 600; } .row td:first-child:empty { background:
  linear-gradient(90deg, var(--tone) 0 .25rem, transparent 0) no-repeat; }
.name { white-space: nowrap; } .long { overflow-wrap: anywhere; min-width: 14rem; } .text { min-width: 9rem; }
form { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin-bottom: .8rem; }
label { display: grid; color: var(--faint); font-size: .85rem; }
input, select, button { font: inherit; padding: .15rem .4rem; }
input, select { width: 11rem; height: 1.9rem; } .wide { max-width: 90rem; }
@media (max-width: 45rem) {
  body { padding: .8rem; } section { padding: .8rem; } input, select { width: 9rem; }
  .report thead, .report td:empty { display: none; } .report tr { display: block; padding: .6rem 0; }
  .report tr + tr { border-top: 1px solid var(--line); }
  .report td { display: grid; grid-template-columns: 7rem 1fr; padding: .1rem 0; border: 0; text-align: left;
    white-space: normal; overflow-wrap: anywhere; min-width: 0; }
  .report td::before { content: attr(data-title); color: var(--faint); font-weight: 400; font-size: .85rem; }
}
"""
_TONES = {Health.HEALTHY: "good", Health.DEGRADED: "warn", Health.DOWN: "bad"}
_STATE_TONES = {"up": "good", "warming": "good", "trying": "warn", "down": "bad", "drained": "plain"}


def document(title: str, *body: Any, refresh: int | None = None, wide: bool = False) -> Tag:
    """A page in the site's look, `wide` for large tables; a browser asks for it again after `refresh` seconds."""
    again = "" if refresh is None else tags.meta(**{"http-equiv": "refresh", "content": str(refresh)})
    return tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            again,
            tags.title(title),
            tags.style(CSS),
        ),
        tags.body(*body, class_="wide" if wide else ""),
        lang="en",
    )


def status_page(snapshot: Snapshot, now: float, *, reports: bool = False) -> Tag:
    """The page. `now` is seconds since 1970; `reports` says whether there are the audit's to link to."""
    findings = judge(snapshot)
    word = _WORDS[overall(findings)][0]
    return document(
        f"{word}: kmstwist",
        _header(snapshot, now),
        _health(findings),
        _numbers(snapshot),
        _upstreams(snapshot) if snapshot.mode == "gateway" else "",
        _reasons(snapshot),
        _latency(snapshot),
        _reports() if reports else "",
        tags.footer(
            f"As of {moment(now)}. For machines: ",
            *between((tags.a(name, href=name) for name in ("/livez", "/readyz", "/metrics")), ", "),
            ".",
        ),
        refresh=REFRESH,
    )


def _header(snapshot: Snapshot, now: float) -> Tag:
    facts = [f"version {__version__}", f"up for {_duration(now - snapshot.started)}"]
    if snapshot.workers_wanted > 1:
        facts.append(f"{snapshot.workers} of {snapshot.workers_wanted} workers")
    what = "KMS gateway" if snapshot.mode == "gateway" else "KMS lab: it grants no licences"
    return tags.header(tags.h1("kmstwist"), tags.span(what), *(tags.span(fact) for fact in facts))


def _health(findings: list[Finding]) -> Tag:
    health = overall(findings)
    word, meaning = _WORDS[health]
    items = tags.ul(*(tags.li(finding.sentence) for finding in findings)) if findings else ""
    return tags.section(tags.strong(word), meaning, items, class_=f"health {_TONES[health]}", role="status")


def _numbers(snapshot: Snapshot) -> Tag:
    results = snapshot.counters.conversations
    numbers = [
        ("connections now", snapshot.connections),
        ("answered by a host", results["activated"] + results["answered"]),
        ("refused by a host", results["refused"]),
        ("ended in a fault", results["fault"]),
        ("without a call", results["none"]),
    ]
    if snapshot.audit:
        numbers.append(("audit records waiting", snapshot.audit.get("waiting", 0)))
    cells = (tags.div(tags.dt(name), tags.dd(f"{value:,}")) for name, value in numbers)
    return tags.section(tags.h2("Since the start"), tags.dl(*cells, class_="numbers"))


def _upstreams(snapshot: Snapshot) -> Tag:
    rows = (
        tags.tr(
            tags.td(tags.code(one.name)),
            tags.td(
                tags.span(one.state, class_=f"state {_STATE_TONES.get(one.state, 'plain')}"),
                f" {one.detail}" if one.detail else "",
            ),
            *(tags.td(f"{value:,}", class_="n") for value in (one.busy, one.idle, one.waiting)),
            *(tags.td(f"{_calls(snapshot, one.name, outcome):,}", class_="n") for outcome in ("answered", "failed")),
        )
        for one in snapshot.upstreams
    )
    names = ("KMS host", "state", "busy", "idle", "waiting", "answered", "failed")
    return tags.section(tags.h2("KMS hosts"), _table(names, rows, numbers_from=2))


def _calls(snapshot: Snapshot, name: str, outcome: str) -> int:
    return snapshot.counters.upstream_calls.get(f"{name} {outcome}", 0)


def _reasons(snapshot: Snapshot) -> Tag:
    reasons = sorted(snapshot.counters.reasons.items(), key=lambda item: -item[1])
    if not reasons:
        return tags.section(tags.h2("Refusals and failures"), "None since the start.")
    rows = (
        tags.tr(tags.td(f"{count:,}", class_="n"), tags.td(tags.code(reason)), tags.td(_meaning(reason)))
        for reason, count in reasons
    )
    return tags.section(
        tags.h2("Refusals and failures"), _table(("count", "reason", "what it means; what to do"), rows)
    )


def _meaning(reason: str) -> str:
    try:
        known = EXPLANATIONS[Reason(reason)]
    except (ValueError, KeyError):
        return ""
    return f"{known.meaning}; {known.cure}"


def _latency(snapshot: Snapshot) -> Tag:
    rows = (
        tags.tr(
            tags.td(_PHASES[phase]),
            *(tags.td(_milliseconds(histogram.quantile(part)), class_="n") for part in (0.5, 0.95, 0.99)),
        )
        for phase, histogram in snapshot.counters.phases.items()
    )
    return tags.section(tags.h2("How long it takes"), _table(("", "half", "95 %", "99 %"), rows, numbers_from=1))


def _reports() -> Tag:
    return tags.section(
        tags.h2("Who activated, who will not, and why"), tags.a("The audit's reports", href="/reports/"), "."
    )


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "none yet"
    return "over 10 s" if seconds == float("inf") else f"≤ {seconds * 1000:g} ms"


def _table(names: Iterable[str], rows: Iterable[Tag], *, numbers_from: int | None = None) -> Tag:
    head = (
        tags.th(name, class_="n" if numbers_from is not None and at >= numbers_from else "")
        for at, name in enumerate(names)
    )
    return tags.table(tags.thead(tags.tr(*head)), tags.tbody(*rows))


def between(items: Iterable[Any], separator: str) -> list[Any]:
    """The items with the separator between each two."""
    placed: list[Any] = []
    for item in items:
        placed += [separator, item] if placed else [item]
    return placed


def moment(seconds: float) -> str:
    """Seconds since 1970 as people read them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    for big, small, names in ((days, hours, "dh"), (hours, minutes, "hm"), (minutes, seconds, "ms")):
        if big:
            return f"{big} {names[0]} {small} {names[1]}".replace(" m", " min")
    return f"{seconds} s"
