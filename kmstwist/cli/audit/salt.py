"""`kmstwist audit salt`: one salt for the hashed fields of all gateways of a central store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from kmstwist.cli.audit.store import default_store, read_from, store_at, store_option
from kmstwist.cli.common import AnyPath
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say, say_json
from kmstwist.shown import url_without_password
from kmstwist.system.rights import rights_in

_FILE = AnyPath(dir_okay=False)


_CommandT = TypeVar("_CommandT", bound=Callable[..., object])


def salt_file_option(command: _CommandT) -> _CommandT:
    """Give a command the option `--salt-file`."""
    return click.option(
        "--salt-file", type=_FILE, help="This gateway's salt. By default audit.salt beside its own store."
    )(command)


def salt_beside(store: str, salt_file: Path | None) -> Path:
    """The salt file of a gateway: the one given, or the one beside its own store."""
    own = default_store() if "://" in store or not store else store
    return salt_file or Path(own).with_name("audit.salt")


@click.group(cls=LazyGroup)
def salt() -> None:
    """The salt of hashed fields.

    All gateways of one central store need the same salt.
    """


@salt.command()
@store_option
@salt_file_option
@click.argument("file", type=_FILE)
def export(store: str, salt_file: Path | None, file: Path) -> None:
    """Copy this gateway's salt to FILE, for another gateway to import. Whoever has it can undo the hashes."""
    from kmstwist.audit.central.carried_salt import export_salt
    from kmstwist.audit.plain.faults import StoreError

    try:
        found = export_salt(salt_beside(store, salt_file), file)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    say(f"the salt with the fingerprint {found} is in {file}; delete it once it is imported")


@salt.command(name="import")
@store_option
@salt_file_option
@click.argument("file", type=_FILE)
def import_(store: str, salt_file: Path | None, file: Path) -> None:
    """Hash with the salt in FILE from the next start on.

    Then it is the same as at the other gateways of the central store.
    """
    from kmstwist.audit.central.carried_salt import import_salt
    from kmstwist.audit.plain.faults import StoreError
    from kmstwist.process.ownership import owner

    place = salt_beside(store, salt_file)
    if runs := owner(place.parent):
        raise click.ClickException(
            f"a {runs} is running with {place.parent} and would keep the salt that it started with; stop it, import, "
            "and start it again"
        )
    try:
        if "://" not in store and Path(store).exists():
            with store_at(store, writes=True) as own:
                found, former = import_salt(file, place, own)
        else:
            found, former = import_salt(file, place, None)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    say(f"the salt with the fingerprint {found} is in {place}; start the server")
    if former is not None:
        say(f"the former one is kept in {former}, for stores whose fields are hashed with it")


@salt.command()
@store_option
@salt_file_option
@json_option
def show(as_json: bool, store: str, salt_file: Path | None) -> None:
    """Show the salt's fingerprint, and the one in the store.

    The first is of this gateway's salt, the second what the store has noted.
    """
    from kmstwist.audit.central.fingerprint import fingerprint, noted
    from kmstwist.audit.privacy import SaltError, load_salt

    place = salt_beside(store, salt_file)
    try:
        with rights_in(place.absolute().parent):
            own = fingerprint(load_salt(place)) if place.exists() else None
    except SaltError as error:
        raise click.ClickException(str(error)) from error
    if not as_json:
        say(f"{url_without_password(str(place))}: {own or 'there is none'}")
    with read_from(store) as reader:
        stored = noted(reader)
    if as_json:
        say_json({"file": str(place), "fingerprint": own, "store": stored})
    else:
        click.echo(f"the store: {stored or 'nothing is hashed in it yet'}")
