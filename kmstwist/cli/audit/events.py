"""`kmstwist events`: the KMS host's own events, imported from what Windows exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from kmstwist.audit.events.reading.zone import SystemZone
from kmstwist.cli.audit.store import opened, progress_bar, store_at, store_option
from kmstwist.cli.common import ANY_PATH, AnyPath, FiniteRange
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from kmstwist.audit.asking.transactions import Store
    from kmstwist.audit.events.importer import Importer, ImportResult
    from kmstwist.reactor import Reactor

WATCH_EVERY = 10.0


def _zone(_context: click.Context, _option: click.Parameter, name: str | None) -> tzinfo:
    if name is None:
        return SystemZone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"{name!r} is not a time zone; write it as Europe/Berlin or UTC") from error


_zone_option = click.option(
    "--timezone",
    "zone",
    metavar="ZONE",
    callback=_zone,
    help="The time zone of times without one, as in CSV files.  [default: this machine's]",
)
_window_option = click.option(
    "--window",
    type=FiniteRange(0, 3600),
    default=10.0,
    show_default=True,
    help="How many seconds the clocks of gateway and KMS host may differ.",
)
_dns_option = click.option("--dns/--no-dns", default=True, show_default=True, help="Look machine names up in DNS.")


@click.group(cls=LazyGroup)
def events() -> None:
    """Import the KMS host's own events, which name the machines.

    V5 and V6 requests do not show which machine they come from; these events do.
    """


@events.command("import")
@store_option
@_zone_option
@_window_option
@_dns_option
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=ANY_PATH)
def import_(store: str, zone: tzinfo, window: float, dns: bool, files: tuple[Path, ...]) -> None:
    """Import each FILE: events as EVTX, XML, JSON, CSV or saved text. Importing twice changes nothing."""
    unread: list[Path] = []
    broken = 0
    _refuse_all_unreadable(files)
    with store_at(store, writes=True, makes=True) as opened_store:
        importer = _importer(opened_store, zone, window, dns)
        for path in files:
            result = _import(importer, path)
            if result is None:
                unread.append(path)
            else:
                broken += result.broken
                _show(result)
    if unread:
        raise click.ClickException(_unread(unread, files))
    if broken:
        raise click.exceptions.Exit(2)


@events.command()
@store_option
@_zone_option
@_window_option
@_dns_option
@click.option(
    "--every",
    type=FiniteRange(0.1, 86400),
    default=WATCH_EVERY,
    show_default=True,
    help="Seconds from one look at the folder to the next.",
)
@click.argument("folder", type=AnyPath(exists=True, file_okay=False))
def watch(store: str, zone: tzinfo, window: float, dns: bool, every: float, folder: Path) -> None:
    """Import the files that appear in FOLDER, until interrupted.

    These are .evtx, .xml, .csv, .json, .jsonl, .ndjson and .txt.
    """
    from sqlalchemy.exc import SQLAlchemyError
    from twisted.internet.defer import Deferred
    from twisted.internet.task import LoopingCall, react
    from twisted.internet.threads import deferToThread
    from twisted.python.failure import Failure

    from kmstwist.audit.events.watch_folder import Watcher
    from kmstwist.audit.plain.faults import plain_error
    from kmstwist.cli.output import OutputError
    from kmstwist.clock import run_on_monotonic_time

    with opened(store, writes=True, makes=True) as engine:
        importer = _importer(engine, zone, window, dns)

        def take(path: Path) -> None:
            if (result := _import(importer, path)) is not None:
                _show(result)

        watcher = Watcher(folder, take)

        def look() -> Deferred[None]:
            return deferToThread(watcher.scan).addErrback(excuse)

        def excuse(failure: Failure) -> None:
            # A share that is away, or a store that is busy, will come back.
            failure.trap(OSError, OutputError, SQLAlchemyError)
            say(f"{folder}: {plain_error(failure.value or failure)}; trying again in {every:g} s", err=True)

        def run(reactor: Reactor) -> Deferred[LoopingCall]:
            run_on_monotonic_time(reactor)
            say(f"watching {folder}", err=True)
            return LoopingCall(look).start(every)

        react(run)


@events.command()
@store_option
@_zone_option
@_dns_option
@click.option(
    "--bind",
    "places",
    metavar="KIND:ADDRESS:PORT",
    multiple=True,
    required=True,
    help="Where to listen; KIND is tcp, udp or tls. May be given several times.",
)
@click.option(
    "--from",
    "senders",
    metavar="ADDRESS|NETWORK",
    multiple=True,
    required=True,
    help="Who may send; all others are refused. May be given several times.",
)
@click.option("--certificate", type=ANY_PATH, help="For tls: the certificate with its chain and private key, in PEM.")
@click.option("--client-ca", type=ANY_PATH, help="For tls: the authorities of senders' certificates, in PEM.")
def listen(
    store: str,
    zone: tzinfo,
    dns: bool,
    places: tuple[str, ...],
    senders: tuple[str, ...],
    certificate: Path | None,
    client_ca: Path | None,
) -> None:
    """Receive the events that KMS hosts send, until interrupted.

    They come by syslog or as JSON lines. A server receives them itself if [events] in its configuration says so.
    """
    from pydantic import ValidationError
    from twisted.internet.task import react

    from kmstwist.collecting.settings import EventsSettings
    from kmstwist.server.collecting import collect
    from kmstwist.startup import StartupError
    from kmstwist.validation import causes, problem_of

    try:
        settings = EventsSettings(
            listen=places,
            senders=senders,
            certificate=None if certificate is None else str(certificate),
            client_ca=None if client_ca is None else str(client_ca),
        )
    except ValidationError as error:
        raise click.UsageError("; ".join(str(problem_of(each)) for each in causes(error.errors()))) from None
    with opened(store, writes=True, makes=True):
        pass
    try:
        react(collect, (settings, store, zone, dns))
    except StartupError as error:
        raise click.ClickException(str(error)) from None


def _importer(store: Store, zone: tzinfo, window: float, dns: bool) -> Importer:
    from kmstwist.audit.asking.facts import stored_privacy
    from kmstwist.audit.events.hostnames import addresses_of
    from kmstwist.audit.events.importer import Importer

    resolve: Callable[[str], Sequence[str]] = addresses_of if dns else lambda _: ()
    return Importer(store, stored_privacy(store), resolve, zone=zone, window=int(window * 1000))


def _refuse_all_unreadable(files: Sequence[Path]) -> None:
    """Raise `ClickException` if no file can be read at all, before a store is made for them."""
    from kmstwist.audit.events.reading.files import look_at

    faults = [_fault(path, partial(look_at, path)) for path in files]
    if all(faults):
        for path, fault in zip(files, faults, strict=True):
            say(f"{path}: {fault}", err=True)
        raise click.ClickException(_unread(files, files))


def _unread(unread: Sequence[Path], files: Sequence[Path]) -> str:
    return "the file could not be read" if len(files) == 1 else f"{len(unread)} of {len(files)} files could not be read"


def _fault(path: Path, read: Callable[[], object]) -> str | None:
    """What is wrong with a file that could not be read, and the cure."""
    from kmstwist.audit.events.reading.evtx import EvtxMissing
    from kmstwist.audit.events.reading.files import UnknownFormat
    from kmstwist.system.rights import NoFile

    try:
        read()
    except (UnknownFormat, EvtxMissing, NoFile) as error:
        return str(error)
    except FileNotFoundError:
        return "there is no such file; check how its name is spelt"
    except IsADirectoryError:
        return f"is a folder; name the files in it, or try `kmstwist events watch {path}`"
    except PermissionError:
        return "this user may not read it; run the command with sudo"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _import(importer: Importer, path: Path) -> ImportResult | None:
    """Import a file with a progress bar; None, and a sentence to standard error, if it cannot be read."""
    from kmstwist.system.rights import rights_for_named

    results: list[ImportResult] = []

    def take() -> None:
        with progress_bar() as progress:
            with rights_for_named(path):
                task = progress.add_task(path.name, total=path.stat().st_size)
            results.append(importer.import_file(path, lambda read: progress.update(task, completed=read)))

    if fault := _fault(path, take):
        say(f"{path}: {fault}", err=True)
        return None
    return results[0]


def _show(result: ImportResult) -> None:
    alone = f", {result.alone} counted from the host's events alone" if result.alone else ""
    say(
        f"{result.path}: {result.imported} new, {result.known} already known, {result.other} of other kinds, "
        f"{result.broken} broken; {result.joined} of {result.joinable} requests joined to their record{alone}"
    )
    if result.apart is not None:
        off = f"about {abs(result.apart)} seconds {'ahead of' if result.apart > 0 else 'behind'} the gateway's"
        say(
            f"  the KMS host's clock seems to be {off}, so that its requests count twice: import again with "
            f"--window {abs(result.apart) + 10}, and set the clocks"
        )
    for broken in result.shown:
        say(f"  {broken.place}: {broken.why}")
    if result.broken > len(result.shown):
        click.echo(f"  and {result.broken - len(result.shown)} more")
