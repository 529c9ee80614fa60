"""`kmstwist report NAME`: the audit's reports, as a table, CSV, JSON or Markdown."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from kmstwist.audit.reports.model import Bucket, Query
from kmstwist.audit.reports.subjects import SUMMARIES
from kmstwist.cli import completing
from kmstwist.cli.audit.store import newest_record, read_from, store_option, told_source
from kmstwist.cli.output import say
from kmstwist.shown import url_without_password, visible_lines

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.reports.model import Query, Report, ReportDefinition, ReportRow

TABLE_ROWS = 200


def _listed(ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    """A command that lists the reports if none is named. Listing needs no store, and does not look for one."""
    if name is None and not ctx.resilient_parsing:
        width = max(map(len, SUMMARIES))
        for known, summary in SUMMARIES.items():
            click.echo(f"{known:{width}}  {summary}")
        ctx.exit()
    return name


@click.command()
@click.argument("name", metavar="NAME", required=False, callback=_listed, shell_complete=completing.reports)
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to show it.",
)
@click.option("--since", metavar="TIME", help="From this time on: 2024-06-01, 2024-06-01T13:00 (UTC), or 7d.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option(
    "--machine",
    metavar="NAME",
    shell_complete=completing.recorded_machines,
    help="This machine, by name or address; * stands for any text.",
)
@click.option("--network", metavar="NET", help="Machines in this network, such as 10.1.0.0/16.")
@click.option(
    "--product",
    metavar="NAME",
    shell_complete=completing.recorded_products,
    help="This product; * stands for any text.",
)
@click.option(
    "--upstream",
    metavar="NAME",
    shell_complete=completing.recorded_upstreams,
    help="This KMS host; * stands for any text.",
)
@click.option("--days", type=click.IntRange(0, 3650), help="For expiring (default 30), silent (14) and digest (7).")
@click.option("--by", type=click.Choice([str(each) for each in Bucket]), help="For activity: what to group by.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=TABLE_ROWS,
    show_default=True,
    help="Rows of a table; 0 for all. The other formats always have all.",
)
@click.option(
    "--fail-if-any",
    is_flag=True,
    help="Exit with status 1 if the report has any row, and with 2 if it cannot be made; for cron and CI.",
)
def report(name: str, store: str, form: str, limit: int, fail_if_any: bool, **question: Any) -> None:
    """Show one of the audit's reports; without NAME, list them."""
    try:
        any_rows = _show(name, store, form, limit, question)
    except click.ClickException as error:
        if not fail_if_any or isinstance(error, click.UsageError):
            raise
        # Not 1, the status of other errors, which has a meaning here.
        error.show()
        sys.exit(2)
    if fail_if_any and any_rows:
        sys.exit(1)


def _show(name: str, store: str, form: str, limit: int, question: dict[str, Any]) -> bool:
    """Show a report. Returns whether it has any row."""
    from kmstwist.audit.reports.all import REPORTS
    from kmstwist.audit.reports.filters import QueryError
    from kmstwist.audit.reports.render import to_csv, to_json, to_markdown
    from kmstwist.audit.views.hints import reading_hints

    if name not in REPORTS:
        near = get_close_matches(name.casefold(), REPORTS, 1, 0.5)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(REPORTS)}"
        raise click.UsageError(f"there is no report {name!r}; {meant}")
    definition = REPORTS[name]
    given = {option for option, value in question.items() if value is not None}
    if unheeded := sorted(given - definition.heeds):
        raise click.UsageError(f"the report {name} does not take --{unheeded[0]}")
    query = _query(question)
    with read_from(store) as reader:
        try:
            answer, total = _asked(definition, reader, query, limit if form == "table" else 0)
            newest = newest_record(reader)
        except QueryError as error:
            raise click.UsageError(str(error)) from error
        hints = list(reading_hints(reader, name, of_a_network=query.network is not None)) if form == "table" else []
    source = told_source(store, newest, query.now)
    match form:
        case "csv":
            click.echo(to_csv(answer), nl=False)
            say(source, err=True)
        case "json":
            read = {"store": url_without_password(store), "newest": newest and newest.isoformat(timespec="seconds")}
            click.echo(to_json(answer, read=read))
        case "markdown":
            click.echo(to_markdown(answer), nl=False)
            say(f"\n{source}")
        case _:
            from rich.console import Console

            from kmstwist.cli.audit.report_table import PIPE_WIDTH, to_table

            console = Console(width=None if Console().is_terminal else PIPE_WIDTH)
            console.print(to_table(answer, limit=limit or None, width=console.width, total=total))
            for hint in hints:
                click.echo(hint, err=True)
            console.print(visible_lines(source), markup=False, highlight=False, soft_wrap=not console.is_terminal)
    return bool(answer.rows)


def _asked(definition: ReportDefinition, reader: Reader, query: Query, limit: int) -> tuple[Report[ReportRow], int]:
    """A report, and how many rows it has; of those with a row for each machine, not more than `limit` are read."""
    if definition.at_length is None or not limit:
        answer = definition.ask(reader, query)
        return answer, len(answer.rows)
    long = definition.at_length(reader, query, limit)
    return replace(long.head, rows=list(long.rows)), long.total


def _query(question: dict[str, Any]) -> Query:
    from kmstwist.audit.reports.times import check_order, parse_when

    now = datetime.now(UTC)
    found = {option: value for option, value in question.items() if value is not None}
    for bound in ("since", "until"):
        if bound in found:
            try:
                found[bound] = parse_when(found[bound], now)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=f"--{bound}") from error
    try:
        check_order(found.get("since"), found.get("until"))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--until") from None
    if "by" in found:
        found["by"] = Bucket(found["by"])
    return Query(now=now, **found)
