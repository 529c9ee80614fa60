"""`kmstwist discover`: which KMS hosts are in DNS, what answers there, and how a client would use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmstwist.cli.common import SECONDS
from kmstwist.cli.where import config_errors_explained, config_option, whereabouts

if TYPE_CHECKING:
    from kmstwist.addresses import HostPort
    from kmstwist.configuration.model import Config
    from kmstwist.discovery.client.as_client import Journey
    from kmstwist.discovery.lookup.resolver import Lookup
    from kmstwist.discovery.lookup.search import ClientSettings
    from kmstwist.discovery.survey import FoundDomain
    from kmstwist.reactor import Reactor


@click.command("discover")
@click.option("--domain", "domains", multiple=True, metavar="D", help="Look in this domain; repeatable, in this order.")
@click.option("--known", multiple=True, metavar="HOST", help="A KMS host of ours; flag all others. Repeatable.")
@config_option
@click.option("--dns-server", "servers", multiple=True, metavar="HOST[:PORT]", help="Ask this DNS server. Repeatable.")
@click.option("--probe/--no-probe", default=True, help="Probe each address at RPC level (default), or only ask DNS.")
@click.option("--timeout", type=SECONDS, default=5.0, show_default=True, help="Seconds.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--as-client", is_flag=True, help="Do step by step what a Windows client with these settings does.")
@click.option("--skms", metavar="HOST[:PORT]", help="As client: the host set by hand (slmgr /skms).")
@click.option("--skms-domain", metavar="D", help="As client: the domain set with slmgr /skms-domain.")
@click.option("--cached", metavar="HOST[:PORT]", help="As client: the host that worked last.")
@click.option("--caching", type=click.Choice(["on", "off"]), default="on", show_default=True, help="As client.")
@click.option("--primary-suffix", metavar="D", help="As client: the primary DNS suffix.")
@click.option("--ad-domain", metavar="D", help="As client: the Active Directory domain, where it differs.")
@click.option("--connection-suffix", multiple=True, metavar="D", help="As client: a suffix from DHCP. Repeatable.")
@click.option("--devolution", is_flag=True, help="As client: look in the primary suffix's parent domains too.")
def discover(**options: Any) -> None:
    """Look for KMS hosts in DNS as Windows does, and probe them.

    Without --domain, the domains are this machine's own DNS search list. Only hosts that DNS names are contacted. With
    --as-client, --domain stands for the client's DNS suffix search list. The exit status is 1 if no host answers.

    Hosts that the configuration does not name are flagged, and its DNS servers are asked.
    """
    from kmstwist.cli.common import run_reactor
    from kmstwist.discovery.client.system_dns import NoDnsServer
    from kmstwist.discovery.lookup import dns_names
    from kmstwist.discovery.lookup.resolver import Lookup, tries

    try:
        settings = _settings(options)
        config = _config(options["file"])
        known = _known(options["known"], config)
        servers = [dns_names.dns_server(server) for server in options["servers"]] or config.dns.server_addresses
    except (dns_names.NameInvalid, NoDnsServer) as invalid:
        raise click.ClickException(str(invalid)) from None

    def lookup(reactor: Reactor) -> Lookup:
        return Lookup(reactor, servers, tries(options["timeout"]))

    if options["as_client"]:
        journey = run_reactor(lambda reactor: _walk(reactor, lookup(reactor), settings, options["timeout"]))
        _journey_json(journey) if options["form"] == "json" else _journey_table(journey)
        good = journey.host is not None
    else:
        found = run_reactor(lambda reactor: _survey(reactor, lookup(reactor), settings, known, options))
        _found_json(found) if options["form"] == "json" else _found_table(found, options["probe"])
        hosts = [host for domain in found for host in domain.hosts]
        good = any(host.answers for host in hosts) if options["probe"] else bool(hosts)
    if not good:
        raise SystemExit(1)


def _settings(options: dict[str, Any]) -> ClientSettings:
    from kmstwist.discovery.client.system_dns import system_search_list
    from kmstwist.discovery.lookup import dns_names
    from kmstwist.discovery.lookup.search import ClientSettings

    def domain(option: str) -> str | None:
        return dns_names.domain(options[option]) if options[option] else None

    def host(option: str) -> HostPort | None:
        return dns_names.host_port(options[option], dns_names.KMS_PORT) if options[option] else None

    client_only = ("skms", "skms_domain", "cached", "primary_suffix", "ad_domain", "connection_suffix", "devolution")
    given = [option for option in client_only if options[option]]
    if given and not options["as_client"]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} describes a client: add --as-client.")
    suffixes = tuple(dns_names.domain(name) for name in options["connection_suffix"])
    search_list = tuple(dns_names.domain(name) for name in options["domains"])
    own_domains = domain("primary_suffix"), domain("ad_domain")
    if not (search_list or suffixes or any(own_domains) or options["skms"] or options["skms_domain"]):
        search_list = system_search_list()
        if not search_list and not options["as_client"]:
            raise click.UsageError("This machine has no DNS search list; name a domain with --domain.")
    return ClientSettings(
        host=host("skms"),
        cached=host("cached"),
        caching=options["caching"] == "on",
        lookup_domain=domain("skms_domain"),
        search_list=search_list,
        primary_suffix=own_domains[0],
        ad_domain=own_domains[1],
        connection_suffixes=suffixes,
        devolution=options["devolution"],
    )


def _config(file: Path | None) -> Config:
    where = whereabouts(config=file)
    if where.may_read:
        with config_errors_explained():
            return where.effective.config
    from kmstwist.configuration.model import Config

    click.echo(f"{where.config.value} cannot be read by this user and is ignored; with sudo it is read", err=True)
    return Config()


def _known(hosts: tuple[str, ...], config: Config) -> frozenset[str] | None:
    """The hosts that are ours; None if neither the options nor the configuration name any."""
    import socket

    from kmstwist.configuration.derived import known_hosts
    from kmstwist.discovery.lookup import dns_names
    from kmstwist.discovery.lookup.dns_names import identity

    known = {identity(dns_names.host_port(host, dns_names.KMS_PORT).host) for host in hosts}
    if config.gateway.upstreams or config.dns.watch.domains or config.dns.publish.domains:
        known |= known_hosts(config, config.dns.publish.host or socket.getfqdn())
    return frozenset(known) or None


async def _survey(
    reactor: Reactor, lookup: Lookup, settings: ClientSettings, known: frozenset[str] | None, options: dict[str, Any]
) -> tuple[FoundDomain, ...]:
    from random import SystemRandom

    from kmstwist.discovery.lookup.search import Origin, SearchDomain, search_domains
    from kmstwist.discovery.probing import rpc_prober
    from kmstwist.discovery.survey import survey

    domains = search_domains(settings)
    if options["domains"]:
        domains = tuple(SearchDomain(domain.name, Origin.GIVEN) for domain in domains)
    prober = rpc_prober(reactor, options["timeout"]) if options["probe"] else None
    return await survey(lookup, domains, SystemRandom(), prober, known)


async def _walk(reactor: Reactor, lookup: Lookup, settings: ClientSettings, seconds: float) -> Journey:
    from random import SystemRandom

    from kmstwist.discovery.client.as_client import walk_as_client
    from kmstwist.discovery.probing import rpc_prober

    return await walk_as_client(settings, lookup, rpc_prober(reactor, seconds), SystemRandom(), reactor.seconds)


def _found_json(found: tuple[FoundDomain, ...]) -> None:
    import json

    from kmstwist.cli.dns.discover_output import as_data

    click.echo(json.dumps(as_data(found), indent=2))


def _found_table(found: tuple[FoundDomain, ...], probed: bool) -> None:
    import sys

    from rich.console import Console

    from kmstwist.cli.dns.discover_output import tables

    # Without a terminal there is no width to respect.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for part in tables(found, probed, console):
        # Lines outside tables are not wrapped, however long a name in them is.
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))


def _journey_json(journey: Journey) -> None:
    import json

    from kmstwist.cli.dns.discover_output import journey_data

    click.echo(json.dumps(journey_data(journey), indent=2))


def _journey_table(journey: Journey) -> None:
    from kmstwist.cli.dns.discover_output import journey_lines

    for line in journey_lines(journey):
        click.echo(line)
