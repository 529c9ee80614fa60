"""`kmstwist keys`: the published client setup keys."""

from __future__ import annotations

import click


@click.command("keys")
@click.argument("search", nargs=-1)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def keys(search: tuple[str, ...], form: str) -> None:
    """List the client setup keys (GVLK) that Microsoft publishes.

    Without SEARCH, list all. SEARCH is any words of a product's name, family or key, or a name as people and
    Microsoft's tools write it, such as "server 2019 std" or ProPlus2021Volume; if none matches, similar names are
    listed. The keys make a machine ask a KMS host; without one they activate nothing.
    """
    from kmstwist.kms.catalogue import UnknownProduct, find
    from kmstwist.kms.catalogue import search as search_products

    wanted = " ".join(search)
    found = search_products(wanted)
    unknown = None
    if not found:
        try:
            found = [find(wanted)]
        except UnknownProduct as error:
            unknown, found = error, list(error.meant)
    if not found:
        found = [product for product in search_products("") if _is_near(wanted, f"{product.family} {product.name}")]
        if found:
            click.echo(f'No product matches "{wanted}"; these are similar.', err=True)
    if not found:
        raise click.ClickException(f"{unknown}.".replace("?.", "?"))
    rows = [(product.family, product.name, product.threshold, product.gvlk) for product in found]
    if form == "json":
        _print_json(rows)
    elif form == "csv":
        _print_csv(rows)
    else:
        _print_table(rows)


def _is_near(wanted: str, name: str) -> bool:
    """Whether each word of the search is spelt similarly to one of the name; a year or version must match exactly."""
    from difflib import get_close_matches

    words = name.casefold().replace(",", " ").replace(":", " ").split()
    return all(
        word in words if any(character.isdigit() for character in word) else get_close_matches(word, words, 1, 0.75)
        for word in wanted.casefold().split()
    )


_COLUMNS = ("family", "product", "threshold", "gvlk")
_Rows = list[tuple[str, str, int, str]]


def _print_json(rows: _Rows) -> None:
    import json

    click.echo(json.dumps([dict(zip(_COLUMNS, row, strict=True)) for row in rows], indent=2))


def _print_csv(rows: _Rows) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


def _print_table(rows: _Rows) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("Family", no_wrap=True)
    table.add_column("Product", overflow="fold")
    table.add_column("Count", justify="right", no_wrap=True)
    # A key must not be cut or wrapped.
    table.add_column("Client setup key", no_wrap=True, min_width=29)
    for family, name, threshold, gvlk in rows:
        table.add_row(family, name, str(threshold), gvlk)
    # Without a terminal there is no width to respect.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
