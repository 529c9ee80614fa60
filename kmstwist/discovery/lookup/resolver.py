"""Asking DNS: SRV records, addresses, and the zone a name lives in.

The messages are dnspython's, the way to a server is `exchange`, and which server is asked when is `asking`'s. An answer
too long for UDP is asked for again over TCP, of the same server (RFC 7766).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.system_dns import system_servers
from kmstwist.discovery.lookup.answers import (
    MAX_ALIASES,
    HostAnswer,
    IsAlias,
    LookupFailed,
    LookupProblem,
    SrvAnswer,
    Zone,
)
from kmstwist.discovery.lookup.concurrently import together
from kmstwist.discovery.lookup.dns_names import DEFAULT_TIMEOUTS, service_name
from kmstwist.discovery.lookup.exchange import NoAnswer, Silence, exchange
from kmstwist.discovery.lookup.servers import HEAD_START, Race, Standing
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.reactor import Reactor


def tries(seconds: float) -> tuple[float, ...]:
    """These seconds divided into two tries, the second one longer: a datagram may get lost."""
    return (seconds * 0.4, seconds * 0.6)


_NO_ANSWER = {
    Silence.TIMED_OUT: LookupProblem.TIMEOUT,
    Silence.CLOSED: LookupProblem.CLOSED,
    Silence.NO_TCP: LookupProblem.UNREACHABLE,
    Silence.NO_WAY: LookupProblem.NO_ROUTE,
}

_RCODES = {
    dns.rcode.SERVFAIL: LookupProblem.SERVER_FAILURE,
    dns.rcode.REFUSED: LookupProblem.REFUSED,
}


@dataclass(frozen=True, slots=True)
class _Reply:
    """A server's reply: whether the name exists, and its records."""

    exists: bool
    answers: Sequence[dns.rrset.RRset]
    authority: Sequence[dns.rrset.RRset]
    server: HostPort

    def records(self, owner: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.rrset.RRset | None:
        return next((rrset for rrset in self.answers if rrset.rdtype == kind and rrset.name == owner), None)

    def alias(self, owner: dns.name.Name) -> dns.name.Name | None:
        found = self.records(owner, dns.rdatatype.CNAME)
        return found[0].target if found else None


class Lookup:
    """Looks names up at `servers` (addresses with ports); without any, at those this machine is configured with.

    `servers` may be given other values at any time, and resolv.conf is read again when it has changed. `timeouts` are
    the seconds to wait for each server, try by try; the next server is asked beside it sooner. `reactor` provides UDP,
    TCP and time.
    """

    def __init__(
        self, reactor: Reactor, servers: Sequence[HostPort] = (), timeouts: Sequence[float] = DEFAULT_TIMEOUTS
    ) -> None:
        self._reactor = reactor
        self.servers: Sequence[HostPort] = tuple(servers)
        self._timeouts = tuple(timeouts)
        self._standing = Standing(reactor)

    async def service(self, domain: str) -> SrvAnswer:
        """The KMS SRV records of a domain. Raises `LookupFailed`."""
        name = service_name(domain)
        found, _, server = await self._through_aliases(name, dns.rdatatype.SRV)
        records = tuple(_srv(rdata, found.ttl) for rdata in found)
        return SrvAnswer(name, _text(found.name), records, server, found.name.to_text(omit_final_dot=True))

    async def host(self, name: str) -> HostAnswer:
        """The addresses of a host. Raises `LookupFailed` if it has neither an IPv6 nor an IPv4 address.

        It is not a failure if one kind is missing: a host with only IPv6 works.
        """
        six, four = await together(self._addresses(name, kind) for kind in (dns.rdatatype.AAAA, dns.rdatatype.A))
        found = [outcome for outcome in (six, four) if isinstance(outcome, _Addresses)]
        if not found:
            failures = [outcome for outcome in (six, four) if isinstance(outcome, LookupFailed)]
            # A missing answer for one kind is worse: it means that nothing is known.
            raise next((failure for failure in failures if not failure.says_no), failures[-1])
        return HostAnswer(
            name=name,
            aliases=found[0].aliases,
            ipv6=six.addresses if isinstance(six, _Addresses) else (),
            ipv4=four.addresses if isinstance(four, _Addresses) else (),
            ttl=min(outcome.ttl for outcome in found),
        )

    async def zone_of(self, name: str) -> Zone:
        """The zone that contains `name`, which need not exist itself.

        A negative answer names the zone in its authority section (RFC 2308 section 3). Raises `LookupFailed`, and
        `IsAlias` for an alias: what a server says then is the zone of the name it leads to, if that.
        """
        owner = self._parsed(name, dns.rdatatype.SOA)
        reply = await self._ask(owner, dns.rdatatype.SOA)
        leads_to = reply.alias(owner)
        if leads_to is not None:
            raise IsAlias(name, _text(leads_to), reply.server)
        for rrset in (*reply.answers, *reply.authority):
            if rrset.rdtype == dns.rdatatype.SOA:
                return Zone(_text(rrset.name), _text(rrset[0].mname))
        raise self._failed(LookupProblem.NO_RECORDS, name, dns.rdatatype.SOA, reply.server)

    async def _addresses(self, name: str, kind: dns.rdatatype.RdataType) -> _Addresses | LookupFailed:
        try:
            found, aliases, _ = await self._through_aliases(name, kind)
        except LookupFailed as failure:
            return failure
        return _Addresses(aliases, tuple(dict.fromkeys(rdata.address for rdata in found)), found.ttl)

    async def _through_aliases(
        self, name: str, kind: dns.rdatatype.RdataType
    ) -> tuple[dns.rrset.RRset, tuple[str, ...], HostPort]:
        """Ask, follow CNAMEs (within the answer, else by asking again), and return the records with who gave them."""
        owner, aliases = self._parsed(name, kind), list[str]()
        while True:
            asked = owner
            reply = await self._ask(asked, kind)
            while (leads_to := reply.alias(owner)) is not None:
                owner = leads_to
                aliases.append(_text(owner))
                if len(aliases) > MAX_ALIASES:
                    raise self._failed(LookupProblem.ALIAS_LOOP, name, kind, reply.server)
            # The name that does not exist may be the one that the aliases lead to (RFC 2308 section 2.1).
            if not reply.exists:
                raise self._failed(LookupProblem.NO_SUCH_NAME, _text(owner), kind, reply.server)
            found = reply.records(owner, kind)
            if found is not None:
                return found, tuple(aliases), reply.server
            if owner == asked:
                raise self._failed(LookupProblem.NO_RECORDS, _text(owner), kind, reply.server)

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Reply:
        async def ask(server: HostPort) -> dns.message.Message:
            return await self._ask_server(server, name, kind)

        servers = self.servers or system_servers()
        head_start = min(self._timeouts[0], HEAD_START)
        answer, server = await Race(self._reactor, servers, ask, self._standing, head_start).run()
        return _Reply(answer.rcode() != dns.rcode.NXDOMAIN, answer.answer, answer.authority, server)

    async def _ask_server(
        self, server: HostPort, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message:
        question = dns.message.make_query(name, kind)
        try:
            answer = dns.message.from_wire(await exchange(self._reactor, server, question.to_wire(), self._timeouts))
        except NoAnswer as none:
            raise self._failed(_NO_ANSWER[none.why], _text(name), kind, server) from None
        except dns.exception.DNSException:
            raise self._failed(LookupProblem.BAD_ANSWER, _text(name), kind, server) from None
        rcode = answer.rcode()
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not question.is_response(answer):
            problem = _RCODES.get(rcode, LookupProblem.BAD_ANSWER)
            raise self._failed(problem, _text(name), kind, server)
        return answer

    def _parsed(self, name: str, kind: dns.rdatatype.RdataType) -> dns.name.Name:
        try:
            return dns.name.from_text(name.rstrip(".") + ".")
        except (dns.exception.DNSException, UnicodeError):
            server = next(iter(self.servers or system_servers()))
            raise self._failed(LookupProblem.BAD_NAME, name, kind, server) from None

    def _failed(
        self, problem: LookupProblem, name: str, kind: dns.rdatatype.RdataType, server: HostPort
    ) -> LookupFailed:
        return LookupFailed(problem, name, dns.rdatatype.to_text(kind), server, sum(self._timeouts))


@dataclass(frozen=True, slots=True)
class _Addresses:
    aliases: tuple[str, ...]
    addresses: tuple[str, ...]
    ttl: int


def _text(name: dns.name.Name) -> str:
    # dnspython writes unprintable bytes as \\DDD (RFC 1035 5.1), since a name may hold any bytes and reach a terminal.
    return "" if name == dns.name.root else name.canonicalize().to_text(omit_final_dot=True)


def _srv(rdata: Any, ttl: int) -> SrvRecord:
    return SrvRecord(rdata.priority, rdata.weight, rdata.port, _text(rdata.target), ttl)
