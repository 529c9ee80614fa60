"""`kmstwist web`: who may look at the status page and the metrics."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import say
from kmstwist.system.rights import rights_for_named
from kmstwist.system.wholefile import write_whole

DEFAULT_FILE = Path("/etc/kmstwist/web-users")


@click.group(cls=LazyGroup)
def web() -> None:
    """The status site, metrics and health checks ([web]).

    [web] in the configuration says where they listen.
    """


@web.command()
@click.argument("name")
@click.option("--file", type=ANY_PATH, default=DEFAULT_FILE, show_default=True, help="The file of users.")
@click.option("--password", help="The password; asked for if left out, which keeps it out of the shell's history.")
def password(name: str, file: Path, password: str | None) -> None:
    """Add user NAME to the file of users, or give NAME another password. Name the file with users in [web]."""
    from kmstwist.web.passwords import hash_password, refuse_bad_name, with_user

    try:
        refuse_bad_name(name)
        hashed = hash_password(password if password is not None else _asked_for())
        with rights_for_named(file):
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            state = file.stat() if file.exists() else None
            write_whole(
                file,
                with_user(text, name, hashed),
                0o640 if state is None else state.st_mode & 0o777,
                owner=None if state is None else (state.st_uid, state.st_gid),
            )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}; name another with --file") from None
    say(f"{name} may log in once the server is restarted. The server must be able to read {file}.")


def _asked_for() -> str:
    """The password: typed twice at a terminal, or else a line from standard input."""
    if not sys.stdin.isatty():
        if piped := sys.stdin.readline().rstrip("\r\n"):
            return piped
        raise click.UsageError("there is no terminal on which to ask for the password; give it with --password")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
