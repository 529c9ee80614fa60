"""The messages that people read: a title and a text of some lines, short enough for a chat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kmstwist.audit.reports.digest import About, DigestRow
from kmstwist.audit.reports.model import Report, as_day
from kmstwist.notify.conditions import ALL_HOSTS, Condition
from kmstwist.notify.ledger import Changes
from kmstwist.shown import counted, visible
from kmstwist.telemetry.server_health import HOST

#: How many names of each kind a message lists; it says how many more there are.
LISTED = 20
#: The most characters of a line, since clients choose the names of machines.
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Text:
    """A message. `kind` is Apprise's: info, success, warning, failure."""

    title: str
    body: str
    kind: str = "warning"


def about_changes(name: str, changes: Changes, now: float) -> Text:
    """What began and what is over, in one message."""
    begun, over = _without_parts(changes.begun), _without_parts_over(changes)
    lines = [*_begun(begun)]
    if over:
        lines += ["Resolved:"] if begun else []
        lines += [f"{_line(each.text)} (lasted {_span(now - since)})" for each, since in over]
    told_of_all = any(each.key == ALL_HOSTS for each in begun)
    still = [each for each in _without_parts(changes.still) if not (told_of_all and each.key.kind == HOST)]
    if still:
        lines += ["", "Still wrong:", *(_line(each.text) for each in still[:LISTED])]
    if begun:
        title = begun[0].text if len(begun) == 1 else f"{begun[0].text}, and {len(begun) - 1} more"
        kind = "failure" if any(each.down for each in begun) else "warning"
    else:
        title = f"resolved: {over[0][0].text}" + (f", and {len(over) - 1} more" if len(over) > 1 else "")
        kind = "warning" if still else "success"
    return Text(_title(name, title), "\n".join(lines), kind)


def about_expiring(name: str, machines: Sequence[str], all_of_them: int) -> Text:
    """Machines that expire within 7 days and were not told before."""
    number = len(machines)
    title = f"{number} activation{'s end' if number > 1 else ' ends'} within 7 days"
    lines = [*map(_line, machines[:LISTED]), *_more(number)]
    if all_of_them > number:
        lines += ["", f"{all_of_them} in all."]
    return Text(_title(name, title), "\n".join([*lines, "", "What to do: kmstwist report expiring --days 7"]))


def about_week(name: str, digest: Report[DigestRow]) -> Text:
    """The weekly summary."""
    numbers = Counter(row.about for row in digest.rows)
    heads = {
        About.EXPIRES: "ended, or ending within 30 days",
        About.SILENT: "fell silent (no call for 14 days)",
        About.NEW: "new machines",
        About.REFUSED: "causes of refused or failed calls",
    }
    lines: list[str] = []
    for about, head in heads.items():
        lines.append(f"{numbers[about]} {head}{':' if numbers[about] else ''}")
        rows = [row for row in digest.rows if row.about is about]
        lines += [f"  {_line(_told(row))}" for row in rows[:LISTED]]
        lines += [f"  {each}" for each in _more(len(rows))]
    title = (
        f"weekly summary: {numbers[About.EXPIRES]} expiring, {numbers[About.SILENT]} fell silent, "
        f"{numbers[About.NEW]} new"
    )
    return Text(_title(name, title), "\n".join([*lines, "", "Full report: kmstwist report digest"]), "info")


def about_test(name: str) -> Text:
    """What `kmstwist notify test` sends."""
    return Text(_title(name, "a test"), "This is a test message from kmstwist. Nothing is wrong.", "info")


def _told(row: DigestRow) -> str:
    if row.about is About.REFUSED:
        calls = f"{counted(row.calls or 0, 'call')} from {counted(row.clients or 0, 'client')}"
        return f"{row.subject}: {calls}" + (f" ({row.cure})" if row.cure else "")
    return f"{row.subject} {row.product} {as_day(row.when)}".replace("  ", " ")


def _begun(conditions: Sequence[Condition]) -> Iterator[str]:
    for each in conditions:
        yield _line(each.text)
        if each.cure:
            yield f"What to do: {_line(each.cure)}"


def _without_parts(conditions: Sequence[Condition]) -> list[Condition]:
    """If no host answers, say so once and not again for each host."""
    none = any(each.key == ALL_HOSTS for each in conditions)
    return [each for each in conditions if not (none and each.key.kind == HOST)]


def _without_parts_over(changes: Changes) -> list[tuple[Condition, float]]:
    kept = _without_parts([condition for condition, _ in changes.over])
    return [(condition, since) for condition, since in changes.over if condition in kept]


def _title(name: str, text: str) -> str:
    return _line(f"kmstwist at {name}: {text}")


def _line(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _more(number: int) -> list[str]:
    return [f"and {number - LISTED} more"] if number > LISTED else []


def _span(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if minutes < 120:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"
