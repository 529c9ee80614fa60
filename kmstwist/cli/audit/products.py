"""`kmstwist products`: names for products that are known only by their activation ids."""

from __future__ import annotations

from pathlib import Path

import click

from kmstwist.cli.audit.store import read_from, store_at, store_option
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say, say_json
from kmstwist.shown import counted


@click.group(cls=LazyGroup)
def products() -> None:
    """Give names to products that are known only by their ids.

    Genuine requests and the KMS host's events identify products by their ids.
    """


@products.command("import")
@store_option
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def import_(store: str, files: tuple[Path, ...]) -> None:
    """Import the names in FILE.

    FILE has what `slmgr /dlv all` or `ospp /dstatusall` printed, in any language. Names in the configuration
    ([products]) take precedence over imported ones.
    """
    from kmstwist.audit.events.reading.files import text_of
    from kmstwist.audit.products.names import add_imported
    from kmstwist.audit.products.printed import MOST, NoProducts, read_printed
    from kmstwist.system.rights import NoFile
    from kmstwist.system.rights import opened as opened_file

    unread = 0
    with store_at(store, writes=True, makes=True) as opened:
        for path in files:
            try:
                with opened_file(path) as file:
                    printed = read_printed(text_of(file.read(MOST)))
            except (NoProducts, NoFile) as error:
                say(f"{path}: {error}", err=True)
                unread += 1
                continue
            except OSError as error:
                say(f"{path}: {error.strerror or error}", err=True)
                unread += 1
                continue
            new, changed = add_imported(opened, printed.names)
            known = len(printed.names) - new - changed
            say(
                f"{path}: {new} new, {changed} changed, {known} already known; {counted(printed.others, 'licence')} "
                "for other ways to activate left out"
            )
    if unread:
        raise click.ClickException(f"{unread} of {len(files)} files had no names")


@products.command("list")
@json_option
@store_option
def list_(as_json: bool, store: str) -> None:
    """Show the store's products, by their ids and names."""
    from kmstwist.audit.products.names import known_products

    with read_from(store) as reader:
        known = known_products(reader)
    if as_json:
        say_json([{"id": str(each.act_id), "name": each.name or None, "family": each.family or None} for each in known])
    else:
        for each in known:
            say(f"{each.act_id}  {each.name or '(no name)'}{f' ({each.family})' if each.family else ''}")
