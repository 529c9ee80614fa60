"""The reports' pages: the list of them, and one report as a table. HTML without scripts, in the status page's look.

Pages come as bytes, made in one go: flattening a thousand rows takes long enough to be a thread's work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from twisted.python.failure import Failure
from twisted.web.template import Tag, flattenString, tags

from kmstwist.audit.reports.catalogue import REPORTS
from kmstwist.audit.reports.model import Bucket, ColumnInfo, Kind, Query, Report, ReportDefinition, ReportRow, Urgency
from kmstwist.audit.reports.render import as_text, worth_showing
from kmstwist.web.page import between, document, moment

#: Rows a page shows at most; the other formats have all.
HTML_ROWS = 1000

_TONES = {
    Urgency.NONE: "",
    Urgency.GOOD: "row good",
    Urgency.SOON: "row warn",
    Urgency.URGENT: "row bad",
    Urgency.LOST: "row bad",
}
_CLASSES = {Kind.NUMBER: "n", Kind.SHARE: "n", Kind.CODE: "n", Kind.TEXT: "text"}
#: Characters past which a name is broken, so that one does not push the other columns out of sight.
_LONG = 40
#: The parameters in the order in which people think of them, with an example of each.
_FIELDS = {
    "since": "7d or 2026-06-01",
    "until": "12h or 2026-06-30",
    "machine": "pc1* or 10.1.0.7",
    "network": "10.1.0.0/16",
    "product": "*LTSC*",
    "upstream": "kms1*",
    "days": "30",
    "by": "day",
}


def index_page() -> bytes:
    """The list of the reports, with a sentence each."""
    rows = (
        tags.tr(tags.td(tags.a(each.name, href=f"/reports/{each.name}")), tags.td(each.summary))
        for each in REPORTS.values()
    )
    body = tags.section(tags.h2("Reports"), tags.table(tags.tbody(*rows)))
    return _flat(document("Reports: kmstwist", _header(), body))


def report_page(
    definition: ReportDefinition, report: Report[ReportRow], words: Mapping[str, str], now: datetime
) -> bytes:
    """One report, its first rows coloured by urgency. `words` are the parameters it was asked with."""
    shown = report.rows[:HTML_ROWS]
    columns = worth_showing(report, shown)
    return _flat(
        document(
            f"{report.title}: kmstwist",
            _header(),
            tags.section(
                tags.h2(report.title),
                _form(definition, words) if definition.heeds else "",
                _table(columns, shown) if shown else "Nothing to report.",
                tags.p(f"{report.note[0].upper()}{report.note[1:]}.") if report.note else "",
                _left_out(definition, len(report.rows) - len(shown), words),
            ),
            tags.footer(
                f"As of {moment(now.timestamp())}; times are in UTC. All rows as ",
                *between((_link(definition, words, form) for form in ("csv", "json", "markdown")), ", "),
                ".",
            ),
            wide=True,
        )
    )


def _header() -> Tag:
    return tags.header(
        tags.h1(tags.a("kmstwist", href="/")), tags.a("status", href="/"), tags.a("all reports", href="/reports/")
    )


def _form(definition: ReportDefinition, words: Mapping[str, str]) -> Tag:
    fields = (
        tags.label(name, _choice(words.get(name, "")) if name == "by" else _field(name, words.get(name, "")))
        for name in _FIELDS
        if name in definition.heeds
    )
    return tags.form(*fields, tags.button("Ask"), action=f"/reports/{definition.name}", method="get")


def _field(name: str, value: str) -> Tag:
    return tags.input(name=name, value=value, placeholder=_FIELDS[name])


def _choice(chosen: str) -> Tag:
    """What to add up by."""
    default = Query.__dataclass_fields__["by"].default
    return tags.select(
        *(
            tags.option(each, value=each, **({"selected": "selected"} if each == (chosen or default) else {}))
            for each in Bucket
        ),
        name="by",
    )


def _table(columns: Sequence[ColumnInfo], rows: Sequence[ReportRow]) -> Tag:
    classes = [_CLASSES.get(column.kind, "name") for column in columns]
    head = (tags.th(column.title, class_=look) for column, look in zip(columns, classes, strict=True))
    body = (
        tags.tr(
            *(
                _cell(as_text(getattr(row, column.name), column.kind), column.title, look)
                for column, look in zip(columns, classes, strict=True)
            ),
            class_=_TONES[row.urgency],
        )
        for row in rows
    )
    return tags.table(tags.thead(tags.tr(*head)), tags.tbody(*body), class_="report")


def _cell(text: str, title: str, look: str) -> Tag:
    # On a narrow screen the heading stands before each value.
    long = look == "name" and len(text) > _LONG
    return tags.td(text, class_="long" if long else look, **{"data-title": title})


def _left_out(definition: ReportDefinition, count: int, words: Mapping[str, str]) -> Tag | str:
    if not count:
        return ""
    return tags.p(
        f"{count:,} more {'row is' if count == 1 else 'rows are'} not shown; ",
        _link(definition, words, "csv"),
        " has all of them.",
    )


def _link(definition: ReportDefinition, words: Mapping[str, str], form: str) -> Tag:
    names = {"csv": "CSV", "json": "JSON", "markdown": "Markdown"}
    return tags.a(names[form], href=f"/reports/{definition.name}?{urlencode({**words, 'format': form})}")


def _flat(page: Tag) -> bytes:
    # Nothing in these pages has to be waited for, so the Deferred has fired already.
    made: list[bytes | Failure] = []
    flattenString(None, page).addBoth(made.append)
    if isinstance(made[0], Failure):
        made[0].raiseException()
    return b"<!doctype html>" + made[0]
