"""From an answer to a page: Jinja templates with escaping always on, and the formats of numbers, times and codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kmstwist import __version__
from kmstwist.audit.reports.model import as_day
from kmstwist.reasons import EXPLANATIONS

#: From how many characters on a name may be broken if it does not fit.
LONG = 30
#: The sign for a missing value.
NOTHING = "\N{EN DASH}"
#: The pages in the menu's order: path, name, and the mode (gateway or lab) if only one of them has the page.
NAVIGATION = (
    ("", "Overview", ""),
    ("machines", "Machines", ""),
    ("calls", "Calls", ""),
    ("refusals", "Refusals", ""),
    ("activity", "Activity", ""),
    ("hosts", "KMS hosts", "gateway"),
    ("lab", "Lab host", "lab"),
    ("products", "Products", ""),
    ("networks", "Networks", ""),
    ("duplicates", "Shared CMIDs", ""),
    ("strangers", "Strangers", "gateway"),
)
#: The pages that exist without an audit, too.
WITHOUT_AUDIT = frozenset({"", "hosts", "lab"})
#: The page to which a page about one thing belongs.
BELONGS = {"machine": "machines", "code": "refusals", "host": "hosts", "product": "products", "network": "networks"}


@cache
def environment() -> Environment:
    """The templates of the package. Made once: compiling them takes some hundredths of a second."""
    made = Environment(
        loader=PackageLoader("kmstwist.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "number": number,
        "time": time_tag,
        "day": day_tag,
        "days": days,
        "step": step_tag,
        "ago": ago,
        "since": since,
        "percent": percent,
        "ms": milliseconds,
        "minutes": minutes,
        "words": words,
        "isolate": isolate,
    }
    made.globals |= {"url": url, "version": __version__, "is_reason": is_reason}
    made.globals["m"] = made.get_template("macros.html").module
    return made


def render(template: str, **context: object) -> bytes:
    """A page."""
    text = environment().get_template(template).render(**context)
    # The templates are written for people; the empty lines that they leave are removed.
    return re.sub(r"\n\s*", "\n", text).encode()


def url(path: str, **parameters: object) -> str:
    """A page's address with parameters; empty ones are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "", False)}
    query = urlencode({name: str(value).lower() if value is True else value for name, value in given.items()})
    return f"/{path}?{query}" if query else f"/{path}"


def number(value: float | None, digits: int = 0) -> str:
    """A number with separators of thousands; a dash for none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """A share in percent."""
    if value is None:
        return NOTHING
    text = "under 1%" if 0 < value < 0.005 else f"{value:.0%}"
    # Kept together on one line.
    return text.replace(" ", "\N{NO-BREAK SPACE}").replace("%", "\N{NO-BREAK SPACE}%")


def milliseconds(value: float | None, calls: int = 1) -> str:
    """A duration. None without any call means no value; None with calls means a time beyond the histogram's bounds."""
    if value is None:
        return "over 10 s" if calls else NOTHING
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:.3g} ms"


def minutes(value: int) -> str:
    """An interval as people say it."""
    for size, word in ((1440, "day"), (60, "hour")):
        if value and value % size == 0:
            return f"{value // size} {word}{'' if value == size else 's'}"
    return f"{value:,} minutes"


def time_tag(when: datetime | None, now: datetime | None = None) -> Markup | str:
    """A moment in UTC; a small script converts it to the reader's zone. With `now`, it is shown as a time ago."""
    if when is None:
        return NOTHING
    told = when.astimezone(UTC)
    if now is None:
        # Without the script the text is in UTC; with it, UTC is shown on hovering.
        return Markup('<time datetime="{}" data-kind="moment">{}</time>').format(
            _iso(told), f"{told:%Y-%m-%d %H:%M} UTC"
        )
    return Markup('<time datetime="{}" data-kind="ago" title="{}">{}</time>').format(
        _iso(told), f"{told:%Y-%m-%d %H:%M:%S} UTC", ago(when, now)
    )


def step_tag(when: datetime) -> Markup:
    """The beginning of a chart's step, in few characters, since a page has hundreds of them.

    The table around it tells the script how to show it (`data-times`).
    """
    told = when.astimezone(UTC)
    return Markup("<time datetime={}>{}</time>").format(_iso(told), f"{told:%m-%d %H:%M}")


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def day_tag(when: datetime | date | None) -> Markup | str:
    """A day, in UTC."""
    if when is None:
        return NOTHING
    if not isinstance(when, datetime):
        return when.isoformat()
    told = when.astimezone(UTC)
    return Markup('<time datetime="{}" data-kind="day">{}</time>').format(_iso(told), as_day(told))


def ago(when: datetime, now: datetime) -> str:
    """How long ago a moment was, or how far off it is, in its two largest units."""
    gone = now - when
    text = duration(abs(gone))
    return f"{text} ago" if gone >= timedelta(0) else f"in {text}"


def since(when: datetime, now: datetime) -> str:
    """The time since a moment, as people say it."""
    return duration(max(now - when, timedelta(0)))


def duration(length: timedelta) -> str:
    """A length of time as people say it: 4 min, 3 h 20 min, 12 days."""
    seconds = int(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    all_minutes = seconds // 60
    if all_minutes < 60:
        return f"{all_minutes} min"
    hours, rest = divmod(all_minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    all_days, hours = divmod(hours, 24)
    if all_days < 3 and hours:
        return f"{all_days} d {hours} h"
    return f"{all_days} day{'' if all_days == 1 else 's'}"


def days(left: int) -> str:
    """How long something still lasts, in whole days."""
    return words(left, "day") if left else "less than a day"


def words(count: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def is_reason(code: str) -> bool:
    """Whether a code is one of kmstwist's own reasons."""
    return any(code == reason for reason in EXPLANATIONS)


def isolate(text: str) -> Markup:
    """A name from outside, isolated, so that its marks for the writing direction do not affect the text around it."""
    # A long name may be broken anywhere, so that it pushes nothing out of sight; a short one is never broken.
    if len(text) > LONG:
        return Markup('<bdi class="break">{}</bdi>').format(text)
    return Markup("<bdi>{}</bdi>").format(text)


def here(path: str, current: Mapping[str, Any], **changes: Any) -> str:
    """The page's own address with some parameters changed."""
    return url(path, **{**current, **changes})
