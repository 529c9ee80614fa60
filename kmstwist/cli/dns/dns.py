"""`kmstwist dns`: publish our SRV record, withdraw it, or show it for a DNS server of any make."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, NotRequired, TypedDict, TypeVar, Unpack

import click

from kmstwist.cli.common import ANY_PATH, SECONDS
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import json_option, say_json
from kmstwist.cli.where import AS_CONFIGURED, config_errors_explained, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

    from kmstwist.addresses import HostPort
    from kmstwist.discovery.publishing.gss import Kerberos
    from kmstwist.discovery.publishing.publication import Publication
    from kmstwist.discovery.publishing.tsig import TsigKey
    from kmstwist.discovery.publishing.updater import UpdateDone, Updater
    from kmstwist.reactor import Reactor

FORMS = ("bind", "nsupdate", "powershell", "dnsmasq", "unbound")

_F = TypeVar("_F", bound=Callable[..., object])


class RecordOptions(TypedDict):
    """The values of `_record_options`."""

    domains: tuple[str, ...]
    host: str | None
    port: int | None
    priority: int
    weight: int
    ttl: int
    server: str | None


class UpdateOptions(RecordOptions):
    """The values of `_update_options` as well; the last two are options of `publish` only."""

    key_file: Path | None
    key_name: str | None
    gss: bool
    keytab: Path | None
    principal: str | None
    timeout: float
    replace_own: NotRequired[bool]
    anyway: NotRequired[bool]


def _record_options(command: _F) -> _F:
    for option in reversed(
        (
            click.option(
                "--domain",
                "domains",
                multiple=True,
                required=True,
                metavar="D",
                help="The domain of the record; repeatable.",
            ),
            click.option("--host", metavar="NAME", help="Our full host name; this machine's if left out."),
            click.option("--port", type=click.IntRange(1, 65535), help=f"The server's port.  {AS_CONFIGURED}"),
            click.option("--priority", type=click.IntRange(0, 65535), default=0, show_default=True),
            click.option("--weight", type=click.IntRange(0, 65535), default=100, show_default=True),
            click.option("--ttl", type=click.IntRange(1, 604800), default=3600, show_default=True, help="Seconds."),
            click.option("--server", metavar="HOST[:PORT]", help="The zone's primary; found by its SOA if left out."),
        )
    ):
        command = option(command)
    return command


def _update_options(command: _F) -> _F:
    for option in reversed(
        (
            click.option("--key-file", type=ANY_PATH, help="TSIG key file, from tsig-keygen."),
            click.option("--key-name", metavar="NAME", help="Which key, if the file holds several."),
            click.option("--gss", is_flag=True, help="Sign with Kerberos (GSS-TSIG) and your tickets (kinit)."),
            click.option("--keytab", type=ANY_PATH, help="Sign with Kerberos and this keytab."),
            click.option("--principal", metavar="NAME", help="Kerberos principal; by default the keytab's first."),
            click.option("--timeout", type=SECONDS, default=5.0, show_default=True),
        )
    ):
        command = option(command)
    return command


@click.group("dns", cls=LazyGroup)
def dns() -> None:
    """Publish this gateway in DNS, so that KMS clients find it."""


@dns.command("publish")
@_record_options
@_update_options
@click.option("--replace-own", is_flag=True, help="Remove earlier records of this host and port.")
@click.option("--anyway", is_flag=True, help="Publish even if our host has no address in DNS, or is an alias.")
def publish(**options: Unpack[UpdateOptions]) -> None:
    """Add our SRV record to each domain by a dynamic update.

    Other hosts' records stay as they are. Nothing is published if DNS says that our host's name has no address, or is
    an alias: clients sent there would find nothing.
    """
    _update("published", options)


@dns.command("withdraw")
@_record_options
@_update_options
def withdraw(**options: Unpack[UpdateOptions]) -> None:
    """Remove our SRV record from each domain again.

    A dynamic update removes exactly our record.
    """
    _update("withdrawn", options)


@dns.command("show")
@_record_options
@click.option("--as", "form", type=click.Choice(FORMS), default="bind", show_default=True, help="For which server.")
@click.option("--zone", metavar="Z", help="The zone that holds the domain, if it is a parent of it.")
@json_option
def show(form: str, zone: str | None, as_json: bool, **options: Unpack[RecordOptions]) -> None:
    """Print our SRV record for a DNS server, to enter by hand.

    As lines or as commands.
    """
    from kmstwist.discovery.client import snippets
    from kmstwist.discovery.lookup import dns_names

    try:
        publications, server = _publications(options)
        within = dns_names.domain(zone) if zone else None
    except dns_names.NameInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
    records: list[dict[str, object]] = []
    for publication in publications:
        if within and not f".{publication.domain}".endswith(f".{within}"):
            raise click.ClickException(f"The domain {publication.domain} is not in the zone {within}.")
        text = snippets.FORMS[form](publication, within or publication.domain, server)
        if as_json:
            records.append({"name": publication.name, **asdict(publication), "as": form, "text": text})
        else:
            click.echo(text)
    if as_json:
        say_json(records)


def _publications(options: RecordOptions) -> tuple[list[Publication], HostPort | None]:
    import socket

    from kmstwist.discovery.lookup import dns_names
    from kmstwist.discovery.publishing.publication import Publication

    target = dns_names.host_name(options["host"] or socket.getfqdn())
    values = (_port(options["port"]), options["priority"], options["weight"], options["ttl"])
    domains = dict.fromkeys(dns_names.domain(domain) for domain in options["domains"])
    server = dns_names.host_port(options["server"], dns_names.DNS_PORT) if options["server"] else None
    return [Publication(domain, target, *values) for domain in domains], server


def _port(given: int | None) -> int:
    """The port for clients: the one given, that of the configured record, or the server's."""
    if given is not None:
        return given
    with config_errors_explained():
        where = whereabouts()
        return where.effective.config.dns.publish.port or where.port.value


def _update(verb: str, options: UpdateOptions) -> None:
    from kmstwist.cli.common import run_reactor
    from kmstwist.discovery.lookup.dns_names import NameInvalid
    from kmstwist.discovery.lookup.resolver import tries
    from kmstwist.discovery.publishing.tsig import KeyFileInvalid

    try:
        publications, server = _publications(options)
        key = _key(options)
    except (NameInvalid, KeyFileInvalid) as invalid:
        raise click.ClickException(str(invalid)) from None
    timeouts = tries(options["timeout"])

    async def job(reactor: Reactor) -> list[str]:
        return await _update_all(reactor, verb, publications, server, key, timeouts, options)

    failures = run_reactor(job)
    if failures:
        raise click.ClickException("\n".join(failures))


def _key(options: UpdateOptions) -> TsigKey | Kerberos | None:
    """The key that signs the updates. Raises `KeyFileInvalid`."""
    by_kerberos = options["gss"] or options["keytab"] or options["principal"]
    if options["key_file"] and by_kerberos:
        raise click.UsageError("--key-file signs by TSIG, --gss and --keytab by Kerberos: give one of the two.")
    if by_kerberos:
        from kmstwist.discovery.publishing.gss import Kerberos

        return Kerberos(options["keytab"], options["principal"])
    from kmstwist.discovery.publishing.tsig import read_key_file

    return read_key_file(options["key_file"], options["key_name"]) if options["key_file"] else None


async def _update_all(
    reactor: Reactor,
    verb: str,
    publications: list[Publication],
    server: HostPort | None,
    key: TsigKey | Kerberos | None,
    timeouts: tuple[float, ...],
    options: UpdateOptions,
) -> list[str]:
    """Update each domain, report each success, and return the sentences of the failures."""
    from kmstwist.addresses import is_address
    from kmstwist.discovery.lookup.resolver import Lookup
    from kmstwist.discovery.publishing.update import UpdateFailed
    from kmstwist.discovery.publishing.updater import Updater
    from kmstwist.transport.lookups import share_lookups

    # A look-up of the server's name by the system must not delay the end of the command.
    share_lookups(reactor)
    lookup = Lookup(reactor, [server] if server and is_address(server.host) else [], timeouts)
    updater = Updater(reactor, lookup, key, time.time, server, timeouts, options.get("replace_own", False))
    failures: list[str] = []
    for publication in publications:
        try:
            if verb == "published" and not options["anyway"]:
                await _check_target(updater, publication)
            done = await (updater.publish if verb == "published" else updater.withdraw)(publication)
        except UpdateFailed as failed:
            failures.append(f"{publication.domain}: {failed} [{failed.reason}]")
        else:
            _tell(verb, done)
    return failures


async def _check_target(updater: Updater, publication: Publication) -> None:
    """Raise `UpdateFailed` if clients could not find the record's host."""
    from kmstwist.discovery.publishing.update import UpdateFailed
    from kmstwist.reasons import Reason

    problem = await updater.target_problem(publication)
    if problem:
        raise UpdateFailed(Reason.DNS_TARGET, f"{problem} Nothing is published; --anyway publishes it all the same.")


def _tell(verb: str, done: UpdateDone) -> None:
    said = {
        ("published", True): "published already",
        ("withdrawn", False): "nothing to withdraw: this record is not there,",
    }
    click.echo(f"{done.publication.domain}: {said.get((verb, done.stood), verb)} at {done.server}, zone {done.zone}:")
    click.echo(f"  {done.publication}")
    for record in sorted(done.others):
        click.echo(f"  beside {record}")
    for record in sorted(done.replaced):
        click.echo(f"  in place of {record}")
    for record in sorted(done.outdated):
        click.echo(f"  still there from earlier, with another priority or weight: {record}")
