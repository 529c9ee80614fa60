"""Asking DNS, over Twisted Names: SRV records, addresses, and the zone a name lives in.

Servers are asked in their order; as in every stub resolver, the next is asked when one fails or is silent, never
because it said that a name does not exist. An answer too long for UDP is asked for again over TCP, of the same server
(RFC 7766).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory
from twisted.names import client, dns, error

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.machine import system_servers
from kmstwist.discovery.lookup.answers import (
    MAX_ALIASES,
    MAX_LABEL,
    HostAnswer,
    LookupFailed,
    LookupProblem,
    SrvAnswer,
    Zone,
)
from kmstwist.discovery.lookup.names import MAX_LENGTH, service_name
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.lookup.together import together
from kmstwist.reactor import Reactor
from kmstwist.transport.endpoints import address_endpoint

DEFAULT_TIMEOUTS = (2.0, 3.0)
"""Seconds to wait for each server's answer, try by try."""


def tries(seconds: float) -> tuple[float, ...]:
    """So many seconds as two tries, the second the longer: a datagram may get lost."""
    return (seconds * 0.4, seconds * 0.6)


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
        self, reactor: Reactor, servers: Sequence[HostPort] = (), timeouts: Sequence[float] = DEFAULT_TIMEOUTS
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
        if len(name) > MAX_LENGTH or not all(0 < len(label) <= MAX_LABEL for label in name.split(".")):
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

    def __init__(self, reactor: Reactor, server: HostPort, timeouts: Sequence[float]) -> None:
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
