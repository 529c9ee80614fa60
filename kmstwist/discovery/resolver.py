"""Asking DNS, over Twisted Names: SRV records, addresses, and the zone a name lives in.

What an administrator needs to know from a failed lookup is which of the different failures it was: that the name does
not exist is an answer, that the server failed or kept silent is none. `LookupFailed` keeps them apart and says it in a
sentence. Servers are asked in their order; as in every stub resolver, the next is asked when one fails or is silent,
never because it said that a name does not exist. An answer too long for UDP is asked for again over TCP, of the same
server (RFC 7766).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

import dns.resolver as system_resolver
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory
from twisted.names import client, dns, error

from kmstwist.discovery.names import DNS_PORT, MAX_LENGTH, service_name
from kmstwist.discovery.srv import SrvRecord
from kmstwist.discovery.together import together
from kmstwist.transport.address import HostPort
from kmstwist.transport.endpoints import address_endpoint

DEFAULT_TIMEOUTS = (2.0, 3.0)
"""Seconds to wait for each server's answer, try by try."""

MAX_ALIASES = 8
"""CNAMEs followed for one name; a longer chain is taken for a loop."""

_LABEL_LENGTH = 63
RESOLV_CONF = "/etc/resolv.conf"


def tries(seconds: float) -> tuple[float, ...]:
    """So many seconds as two tries, the second the longer: a datagram may get lost."""
    return (seconds * 0.4, seconds * 0.6)


class LookupProblem(StrEnum):
    """Why a lookup brought no record."""

    NO_SUCH_NAME = "nxdomain"
    NO_RECORDS = "no-records"
    SERVER_FAILURE = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NO_ROUTE = "no-route"
    BAD_ANSWER = "bad-answer"
    ALIAS_LOOP = "alias-loop"
    BAD_NAME = "bad-name"
    NO_SERVER = "no-server"


_SAYS_NO = {LookupProblem.NO_SUCH_NAME, LookupProblem.NO_RECORDS, LookupProblem.ALIAS_LOOP, LookupProblem.BAD_NAME}

_SENTENCES = {
    LookupProblem.NO_SUCH_NAME: "{name} does not exist, says the DNS server {server}.",
    LookupProblem.NO_RECORDS: "{name} exists, but has no {type} record, says the DNS server {server}.",
    LookupProblem.SERVER_FAILURE: "The DNS server {server} failed to look up {name} (SERVFAIL).",
    LookupProblem.REFUSED: "The DNS server {server} refuses to look up {name} for this machine (REFUSED).",
    LookupProblem.TIMEOUT: "The DNS server {server} gave no answer about {name} within {seconds:g} seconds.",
    LookupProblem.UNREACHABLE: "The DNS server {server} takes no TCP connection, needed for the long answer on {name}.",
    LookupProblem.NO_ROUTE: "This machine has no way to the DNS server {server}.",
    LookupProblem.BAD_ANSWER: "The DNS server {server} gave an answer about {name} that cannot be used.",
    LookupProblem.ALIAS_LOOP: "The aliases (CNAME) of {name} lead in a circle or are more than "
    f"{MAX_ALIASES}, says the DNS server {{server}}.",
    LookupProblem.BAD_NAME: f"{{name}} cannot be looked up: DNS allows {MAX_LENGTH} characters, and {_LABEL_LENGTH} "
    "between two dots.",
}


class LookupFailed(Exception):
    """A lookup brought no record; the text is a sentence, `problem` the kind.

    `server` is who said so or kept silent, None where there is none to ask.
    """

    server: HostPort | None

    def __init__(self, problem: LookupProblem, name: str, record_type: str, server: HostPort, seconds: float) -> None:
        sentence = _SENTENCES[problem].format(name=name, type=record_type, server=server, seconds=seconds)
        super().__init__(sentence)
        self.problem = problem
        self.name = name
        self.server = server

    @property
    def says_no(self) -> bool:
        """Whether DNS answered that there is nothing, rather than not answering."""
        return self.problem in _SAYS_NO


class NoDnsServer(LookupFailed):
    """This machine is configured with no DNS server, so nothing can be looked up; the text is a sentence."""

    def __init__(self) -> None:
        Exception.__init__(self, f"This machine has no DNS server configured in {RESOLV_CONF}; name one.")
        self.problem = LookupProblem.NO_SERVER
        self.name = ""
        self.server = None


@dataclass(frozen=True, slots=True)
class SrvAnswer:
    """The SRV records of one name, in the answer's order; `owner` differs from `name` where CNAMEs led elsewhere.

    `written` is the owner in the zone's own upper and lower case, as far as the server tells.
    """

    name: str
    owner: str
    records: tuple[SrvRecord, ...]
    server: HostPort
    written: str = ""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """The addresses of one host, IPv6 and IPv4, each kind in the answer's order; `ttl` the lowest, in seconds.

    `aliases` are the names the CNAMEs led to, in order, the last being the one that has the addresses. RFC 2782 forbids
    an SRV target that is an alias; Windows resolves it nonetheless.
    """

    name: str
    aliases: tuple[str, ...]
    ipv6: tuple[str, ...]
    ipv4: tuple[str, ...]
    ttl: int

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, IPv6 first, as Windows prefers them (RFC 6724)."""
        return self.ipv6 + self.ipv4


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone a name lives in, and its primary server's name, out of the SOA record."""

    name: str
    primary: str


@dataclass(frozen=True, slots=True)
class _Reply:
    answers: Sequence[Any]
    authority: Sequence[Any]
    server: HostPort


class Lookup:
    """Looks names up at `servers` (addresses with ports); without any, at those this machine is configured with.

    `servers` may be given other values at any time, and resolv.conf is read again when it has changed. `timeouts` are
    the seconds to wait for each server, try by try; `reactor` provides UDP, TCP and time.
    """

    def __init__(
        self, reactor: Any, servers: Sequence[HostPort] = (), timeouts: Sequence[float] = DEFAULT_TIMEOUTS
    ) -> None:
        self._reactor = reactor
        self.servers: Sequence[HostPort] = tuple(servers)
        self._timeouts = tuple(timeouts)

    async def service(self, domain: str) -> SrvAnswer:
        """The KMS SRV records of a domain. Raises `LookupFailed`."""
        name = service_name(domain)
        reply, owner, _ = await self._ask_through_aliases(name, dns.SRV)
        found = [rr for rr in reply.answers if rr.type == dns.SRV and _text(rr.name) == owner]
        return SrvAnswer(name, owner, tuple(map(_srv, found)), reply.server, _as_written(found[0].name))

    async def host(self, name: str) -> HostAnswer:
        """The addresses of a host. Raises `LookupFailed` where it has neither an IPv6 nor an IPv4 address.

        One kind being absent is no failure: a host with IPv6 only works.
        """
        outcomes: list[_Addresses | LookupFailed] = await together(
            self._addresses(name, kind) for kind in (dns.AAAA, dns.A)
        )
        found = [outcome for outcome in outcomes if isinstance(outcome, _Addresses)]
        if not found:
            failures = [outcome for outcome in outcomes if isinstance(outcome, LookupFailed)]
            # Silence on one kind is the worse news: it says that nothing is known.
            raise next((failure for failure in failures if not failure.says_no), failures[-1])
        by_kind = {outcome.kind: outcome for outcome in found}
        return HostAnswer(
            name=name,
            aliases=found[0].aliases,
            ipv6=by_kind[dns.AAAA].addresses if dns.AAAA in by_kind else (),
            ipv4=by_kind[dns.A].addresses if dns.A in by_kind else (),
            ttl=min(outcome.ttl for outcome in found),
        )

    async def zone_of(self, name: str) -> Zone:
        """The zone that holds `name`, which need not exist itself. Raises `LookupFailed`.

        A negative answer names the zone in its authority section (RFC 2308 section 3).
        """
        try:
            reply = await self._ask(name, dns.SOA)
        except _Negative as negative:
            reply = negative.reply
        for rr in (*reply.answers, *reply.authority):
            if rr.type == dns.SOA:
                return Zone(_text(rr.name), _text(rr.payload.mname))
        raise self._failed(LookupProblem.NO_RECORDS, name, dns.SOA, reply.server)

    async def _addresses(self, name: str, kind: int) -> _Addresses | LookupFailed:
        try:
            reply, owner, aliases = await self._ask_through_aliases(name, kind)
        except LookupFailed as failure:
            return failure
        rrs = [rr for rr in reply.answers if rr.type == kind and _text(rr.name) == owner]
        addresses = tuple(dict.fromkeys(_address(rr.payload) for rr in rrs))
        return _Addresses(kind, aliases, addresses, min(rr.ttl for rr in rrs))

    async def _ask_through_aliases(self, name: str, kind: int) -> tuple[_Reply, str, tuple[str, ...]]:
        """Ask, follow CNAMEs (within the answer, else by asking again), and return the reply with records in it."""
        owner, aliases = name, list[str]()
        while True:
            asked, exists = owner, True
            try:
                reply = await self._ask(asked, kind)
            except _Negative as negative:
                # The name that does not exist may be where the aliases lead to (RFC 2308 section 2.1).
                reply, exists = negative.reply, False
            links = {_text(rr.name): _text(rr.payload.name) for rr in reply.answers if rr.type == dns.CNAME}
            while owner in links:
                owner = links[owner]
                aliases.append(owner)
                if len(aliases) > MAX_ALIASES:
                    raise self._failed(LookupProblem.ALIAS_LOOP, name, kind, reply.server)
            if not exists:
                raise self._failed(LookupProblem.NO_SUCH_NAME, owner, kind, reply.server)
            if any(rr.type == kind and _text(rr.name) == owner for rr in reply.answers):
                return reply, owner, tuple(aliases)
            if owner == asked:
                raise self._failed(LookupProblem.NO_RECORDS, owner, kind, reply.server)

    async def _ask(self, name: str, kind: int) -> _Reply:
        failure: LookupFailed | None = None
        for server in self.servers or system_servers():
            try:
                return await self._ask_server(server, name, kind)
            except LookupFailed as failed:
                failure = failure or failed
        assert failure is not None
        raise failure

    async def _ask_server(self, server: HostPort, name: str, kind: int) -> _Reply:
        if len(name) > MAX_LENGTH or not all(0 < len(label) <= _LABEL_LENGTH for label in name.split(".")):
            raise self._failed(LookupProblem.BAD_NAME, name, kind, server)
        asker = _OneServer(self._reactor, server, self._timeouts)
        lookup: Any = {
            dns.SRV: asker.lookupService,
            dns.A: asker.lookupAddress,
            dns.AAAA: asker.lookupIPV6Address,
            dns.SOA: asker.lookupAuthority,
        }[kind]
        try:
            answers, authority, _ = await lookup(name.encode("ascii"))
        except error.DNSNameError as negative:
            message: Any = negative.args[0]
            raise _Negative(_Reply(message.answers, message.authority, server)) from None
        except error.DNSServerError:
            raise self._failed(LookupProblem.SERVER_FAILURE, name, kind, server) from None
        except error.DNSQueryRefusedError:
            raise self._failed(LookupProblem.REFUSED, name, kind, server) from None
        except error.DomainError:
            raise self._failed(LookupProblem.BAD_ANSWER, name, kind, server) from None
        except (DeferredTimeout, ConnectTimeout):
            raise self._failed(LookupProblem.TIMEOUT, name, kind, server) from None
        except (ConnectError, ConnectionClosed):
            raise self._failed(LookupProblem.UNREACHABLE, name, kind, server) from None
        except (OSError, CannotListenError):
            # No route, or no IPv6 on this machine: the socket cannot even send.
            raise self._failed(LookupProblem.NO_ROUTE, name, kind, server) from None
        return _Reply(answers, authority, server)

    def _failed(self, problem: LookupProblem, name: str, kind: int, server: HostPort) -> LookupFailed:
        return LookupFailed(problem, name, dns.QUERY_TYPES[kind], server, sum(self._timeouts))


def system_servers() -> tuple[HostPort, ...]:
    """The DNS servers this machine is configured with (resolv.conf). Raises `NoDnsServer` where there is none."""
    return tuple(HostPort(str(server), DNS_PORT) for server in _system().nameservers)


def system_search_list() -> tuple[str, ...]:
    """This machine's own DNS search list (resolv.conf's `search` or `domain`, else its host name's domain).

    Raises `NoDnsServer`.
    """
    configured = _system()
    names = list(configured.search) or [configured.domain]
    return tuple(
        text for name in names if (text := name.canonicalize().to_text(omit_final_dot=True)) not in ("", "@", ".")
    )


def _system() -> system_resolver.Resolver:
    try:
        found = os.stat(RESOLV_CONF)
        configured = _read(found.st_ino, found.st_mtime_ns, found.st_size)
    except (system_resolver.NoResolverConfiguration, OSError) as missing:
        raise NoDnsServer from missing
    if not configured.nameservers:
        raise NoDnsServer
    return configured


@lru_cache(maxsize=1)
def _read(inode: int, changed_ns: int, size: int) -> system_resolver.Resolver:
    """The machine's configuration, read once for what tells one state of its file from another."""
    return system_resolver.Resolver(RESOLV_CONF)


@dataclass(frozen=True, slots=True)
class _Addresses:
    kind: int
    aliases: tuple[str, ...]
    addresses: tuple[str, ...]
    ttl: int


class _Negative(Exception):
    """NXDOMAIN, with the reply, whose authority section tells the zone."""

    def __init__(self, reply: _Reply) -> None:
        super().__init__("the name does not exist")
        self.reply = reply


class _OneServer(client.Resolver):
    """Twisted's resolver for a single question at a single server.

    Its own way over TCP keeps the connection for later questions and asks any of its servers; this one closes the
    connection with the answer, and gives up connecting when the time is up.
    """

    def __init__(self, reactor: Any, server: HostPort, timeouts: Sequence[float]) -> None:
        super().__init__(servers=[(server.host, server.port)], timeout=tuple(timeouts), reactor=reactor)
        self._server = server
        self._seconds = sum(timeouts)

    def queryTCP(self, queries: Any, timeout: float = 10) -> Deferred[Any]:
        """Ask over TCP; Twisted calls this for a truncated answer."""
        return Deferred.fromCoroutine(self._query_tcp(queries))

    async def _query_tcp(self, queries: Any) -> Any:
        endpoint = address_endpoint(self._reactor, self._server.host, self._server.port, self._seconds)
        factory: Any = Factory.forProtocol(lambda: dns.DNSProtocol(self, self._reactor))
        protocol: Any = await endpoint.connect(factory)
        try:
            return await protocol.query(queries, self._seconds)
        finally:
            protocol.transport.loseConnection()


def _text(name: dns.Name) -> str:
    return _as_written(name).lower()


def _as_written(name: dns.Name) -> str:
    # A name may hold any bytes, and it ends in terminals and logs: what does not print is written \DDD (RFC 1035 5.1).
    text = "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"\\{byte:03d}" for byte in name.name)
    return text.rstrip(".")


def _srv(rr: Any) -> SrvRecord:
    data = rr.payload
    return SrvRecord(data.priority, data.weight, data.port, _text(data.target), rr.ttl)


def _address(data: Any) -> str:
    return inet_ntop(AF_INET if data.TYPE == dns.A else AF_INET6, data.address)
