"""The checks of `kmstwist doctor` over the network: other machines, and this server's ports. They activate nothing."""

from __future__ import annotations

import socket

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError

from kmstwist.addresses import DEFAULT_PORT, HostPort, parse_host_port
from kmstwist.configuration.derived import known_hosts, listening_ports, own_address
from kmstwist.configuration.model import Config
from kmstwist.discovery.lookup.answers import LookupFailed
from kmstwist.discovery.lookup.dns_names import NameInvalid, host_name, service_name
from kmstwist.discovery.lookup.resolver import Lookup, tries
from kmstwist.discovery.lookup.srv import SrvRecord, available
from kmstwist.discovery.strangers import strangers_in
from kmstwist.findings import Finding, Health
from kmstwist.gateway.discover import DiscoveryFailed
from kmstwist.gateway.hosts_in_dns import find_hosts
from kmstwist.health.case import Case
from kmstwist.health.checks import port_fault, socket_unit
from kmstwist.reactor import Reactor
from kmstwist.system.portholder import holder_of
from kmstwist.telemetry.server_health import HOST, RECORD, STRANGERS
from kmstwist.transport.endpoints import endpoint_for
from kmstwist.transport.probe import probe
from kmstwist.web.settings import web_address


async def network_findings(reactor: Reactor, case: Case, timeout: float) -> list[Finding]:
    """The findings of all checks, run at the same time; each step may take `timeout` seconds."""
    gateway = case.config.gateway
    asked = [_upstream(reactor, one.label, parse_host_port(one.address), timeout) for one in gateway.upstreams]
    if gateway.discover is not None:
        asked.append(_discovered(reactor, case, gateway.discover, timeout))
    dns = case.config.dns
    asked += [_published(reactor, case, domain, timeout) for domain in dns.publish.domains]
    asked += [
        _strangers(reactor, case, domain, timeout)
        for domain in dict.fromkeys((*dns.watch.domains, *dns.publish.domains))
    ]
    if case.server is None and not case.config.server.listen and case.config.server.port:
        asked.append(_taken_port(reactor, case, timeout))
    if case.server is not None and (own := own_address(case.config)) is not None:
        asked.append(_ourselves(reactor, own, timeout))
    if case.server is not None and case.config.web.listen is not None:
        told = case.running.findings is not None
        asked.append(_web(reactor, web_address(case.config.web.listen), timeout, told=told))
    gathered = await gatherResults([Deferred.fromCoroutine(one) for one in asked])
    return [finding for findings in gathered for finding in findings]


async def _upstream(reactor: Reactor, name: str, address: HostPort, timeout: float) -> list[Finding]:
    report = await probe(reactor, endpoint_for(reactor, address.host, address.port, timeout), timeout)
    if report.health is Health.HEALTHY:
        return [Finding(HOST, Health.HEALTHY, f"{report.summary}, in {report.connect_ms or 0:.0f} ms", subject=name)]
    cure = f"check that it is up, and that no firewall blocks TCP {address.port}; for more: kmstwist probe {address}"
    return [Finding(HOST, report.health, f"{address}: {report.summary}", cure, subject=name)]


async def _discovered(reactor: Reactor, case: Case, domain: str, timeout: float) -> list[Finding]:
    try:
        found = await find_hosts(domain, _lookup(reactor, case, timeout))
    except DiscoveryFailed as error:
        cure = f"see what DNS has: kmstwist discover --domain {domain}"
        return [Finding("domain", Health.DOWN, str(error), cure, subject=domain)]
    names = ", ".join(str(target.address) for target in found.targets)
    findings = [Finding("domain", Health.HEALTHY, f"DNS names {names}", subject=domain)]
    for target in found.targets:
        findings += await _upstream(reactor, target.name, target.address, timeout)
    return findings


async def _published(reactor: Reactor, case: Case, domain: str, timeout: float) -> list[Finding]:
    name = service_name(domain)
    try:
        host, port = own_record(case.config)
    except NameInvalid as invalid:
        # With such a name the server does not start.
        return [
            Finding(RECORD, Health.DOWN, str(invalid), "name this gateway with host in [dns.publish]", subject=domain)
        ]
    named: tuple[SrvRecord, ...] = ()
    try:
        named = available((await _lookup(reactor, case, timeout).service(domain)).records)
    except LookupFailed as error:
        if not error.says_no:
            cure = f"see what publishing says in the log, and: kmstwist dns --help; kmstwist discover --domain {domain}"
            return [Finding(RECORD, Health.DOWN, str(error), cure, subject=domain)]
        found = error.said
    else:
        # A target of "." is not a host: it says that there is decidedly no such service (RFC 2782).
        hosts = ", ".join(str(HostPort(record.target, record.port)) for record in named)
        found = f"{name} names {hosts or 'no host: its target is .'}"
    ours = [record for record in named if record.target == host]
    if any(port in (record.port, None) for record in ours):
        return [Finding(RECORD, Health.HEALTHY, found, subject=domain)]
    publish = case.config.dns.publish
    wanted = SrvRecord(publish.priority, publish.weight, port or DEFAULT_PORT, host)
    by_hand = f"kmstwist dns publish {wanted.options(domain)}"
    if ours:
        cure = f"{by_hand}; and remove the other: kmstwist dns withdraw {ours[0].options(domain)}"
        return [
            Finding(RECORD, Health.DEGRADED, f"{found}, but clients should come to {host}:{port}", cure, subject=domain)
        ]
    cure = f"see why in the log: kmstwist log --event 'dns-*' --since 1d --explain; or by hand: {by_hand}"
    return [Finding(RECORD, Health.DOWN, f"our record, for {host}, is not there: {found}", cure, subject=domain)]


def own_record(config: Config) -> tuple[str, int | None]:
    """The host and the port that our SRV record names; None where only the server itself knows on which it listens.

    Raises `NameInvalid` where this machine has no name that clients elsewhere could resolve.
    """
    publish, ports = config.dns.publish, listening_ports(config) - {0}
    only = next(iter(ports)) if len(ports) == 1 else None
    return host_name(publish.host or socket.getfqdn()), publish.port or only


async def _strangers(reactor: Reactor, case: Case, domain: str, timeout: float) -> list[Finding]:
    config = case.config
    if config.gateway.discover == domain:
        return [
            Finding(
                STRANGERS,
                Health.HEALTHY,
                "the gateway takes all hosts that DNS names there as its own",
                subject=domain,
            )
        ]
    # The system may take its time to tell its own full name, which nobody waits for here but us.
    known = known_hosts(config, config.dns.publish.host or socket.getfqdn())
    try:
        found = await strangers_in(Lookup(reactor, config.dns.server_addresses), domain, known)
    except LookupFailed as error:
        cure = f"see what DNS has: kmstwist discover --domain {domain}"
        return [
            Finding(
                STRANGERS, Health.DEGRADED, f"cannot tell whether there are strangers: {error}", cure, subject=domain
            )
        ]
    if not found:
        return [Finding(STRANGERS, Health.HEALTHY, "DNS names no KMS host that is not configured", subject=domain)]
    hosts = ", ".join(str(HostPort(stranger.host, stranger.port)) for stranger in found)
    cure = (
        "find out whose it is: clients may use it instead, and it may not be licensed. If it is yours, add it to "
        "hosts in [dns.watch]"
    )
    return [
        Finding(
            STRANGERS, Health.DEGRADED, f"DNS names KMS hosts that are not configured: {hosts}", cure, subject=domain
        )
    ]


def _lookup(reactor: Reactor, case: Case, timeout: float) -> Lookup:
    return Lookup(reactor, case.config.dns.server_addresses, tries(timeout))


async def _taken_port(reactor: Reactor, case: Case, timeout: float) -> list[Finding]:
    """What uses a port that cannot be opened. Before it is called another program, it is asked whether it is ours."""
    port = case.config.server.port
    fault = port_fault(port)
    if fault is None:
        return []
    if unit := socket_unit(port):
        found = f"systemd holds TCP port {port} for {unit}, and clients wait there"
        return [Finding("port", Health.DEGRADED, found, f"systemctl start {unit.removesuffix('.socket')}")]
    report = await probe(reactor, endpoint_for(reactor, "127.0.0.1", port, timeout), timeout)
    answers = "a KMS host answers there" if report.is_kms else "it does not answer as a KMS host"
    if others := holder_of(port).others:
        found = f"TCP port {port} is in use by a program of {', '.join(others)} that this user may not see; {answers}"
        return [Finding("port", Health.DEGRADED, found, "run kmstwist doctor with sudo")]
    if report.is_kms:
        found = f"a KMS host that is not this kmstwist answers at 127.0.0.1:{port}"
        cure = f"ss -ltnp 'sport = :{port}' shows it; or name its state folder with --state-dir"
        return [Finding("port", Health.DEGRADED, found, cure)]
    return [Finding("port", Health.DOWN, fault.problem.what, fault.problem.cure)]


async def _ourselves(reactor: Reactor, own: HostPort, timeout: float) -> list[Finding]:
    report = await probe(reactor, endpoint_for(reactor, own.host, own.port, timeout), timeout)
    cure = "" if report.health is Health.HEALTHY else "see the log: kmstwist log --since 10m --explain"
    return [Finding("port", report.health, f"{own}: {report.summary}", cure)]


async def _web(reactor: Reactor, address: HostPort, timeout: float, *, told: bool) -> list[Finding]:
    """The health check that balancers and monitoring ask; its reasons are not repeated where the server has `told`."""
    from twisted.web.client import Agent, readBody

    agent = Agent(reactor, connectTimeout=timeout)
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{address.port}/readyz"
    try:
        response = await agent.request(b"GET", url.encode()).addTimeout(timeout, reactor)
        body = (await readBody(response)).decode(errors="replace").splitlines()
    except Exception as error:
        # Any failure (refused, silent, no HTTP) is one finding, with the error's own words.
        detail = "connection refused" if isinstance(error, ConnectError) else str(error) or type(error).__name__
        return [Finding("health", Health.DOWN, f"{url}: {detail}", "see the log for the line 'web'")]
    if response.code == 401:
        return [Finding("health", Health.HEALTHY, f"{url} answers, and asks for a password")]
    first, *rest = body or [""]
    health = next((one for one in Health if one.word == first), Health.DOWN)
    text = "; ".join(rest) if rest and not told else f"{url} says {first or 'nothing'}"
    return [Finding("health", health, text, "" if health is Health.HEALTHY else f"the status page: {url[:-6]}")]
