"""Publishing and withdrawing our SRV record: find the zone and its primary server, look, then update.

All records of one name and type share one TTL (RFC 2181 5.2), so BIND gives the whole set the TTL of the record that is
added last. To leave other hosts' records unchanged, ours takes the TTL of the set that it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import dns.update

from kmstwist.addresses import HostPort, is_address
from kmstwist.discovery.client.system_dns import system_addresses
from kmstwist.discovery.lookup.answers import IsAlias, LookupFailed, LookupProblem
from kmstwist.discovery.lookup.dns_names import DEFAULT_TIMEOUTS, DNS_PORT
from kmstwist.discovery.lookup.exchange import NoAnswer, exchange
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.publishing.gss import Kerberos
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.tsig import TsigKey
from kmstwist.discovery.publishing.update import (
    SigningKey,
    UpdateFailed,
    addition,
    check_answer,
    never,
    removal,
    sign,
)
from kmstwist.reactor import Reactor
from kmstwist.reasons import Reason


@dataclass(frozen=True, slots=True)
class UpdateDone:
    """What was done: `publication` is the record as it is in DNS, with its TTL there.

    `stood` says whether the record was there before. `others` are the records of other hosts in the set; `outdated` are
    earlier records of ours, with the same host and port but another priority or weight, which stay until they are
    withdrawn; `replaced` are such records that were removed.
    """

    publication: Publication
    zone: str
    server: HostPort
    others: tuple[SrvRecord, ...]
    outdated: tuple[SrvRecord, ...]
    stood: bool = False
    replaced: tuple[SrvRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """The present record set: its zone, the primary's name and the address that answers, and its name's own case."""

    zone: str
    primary: str
    server: HostPort
    records: tuple[SrvRecord, ...] = ()
    owner: str = ""

    def without(self, publication: Publication) -> list[SrvRecord]:
        """The records other than ours."""
        return [record for record in self.records if record.data != publication.record.data]

    def earlier(self, publication: Publication) -> tuple[SrvRecord, ...]:
        """Records of ours, the same host and port, with another priority or weight."""
        ours = (publication.target, publication.port)
        return tuple(record for record in self.without(publication) if (record.target, record.port) == ours)


class Publishes(Protocol):
    """The updates that the publishing service needs."""

    async def publish(self, publication: Publication) -> UpdateDone:
        """Add the record. Raises `UpdateFailed`."""

    async def withdraw(self, publication: Publication) -> UpdateDone:
        """Remove the record. Raises `UpdateFailed`."""

    async def target_problem(self, publication: Publication) -> str:
        """Why clients cannot find the record's host, in a sentence; "" if DNS shows no problem."""


class Updater:
    """Does updates over the network, signed with `key` (if any), or with one that Kerberos negotiates.

    `lookup` finds the zone and its primary server, unless `server` (a name or an address) is given, which is then asked
    for the zone too. `wall_clock` returns seconds since 1970 UTC, for the signature; `timeouts` as in `exchange`. With
    `replace_own`, to publish a record takes out earlier ones of the same host and port.
    """

    def __init__(
        self,
        reactor: Reactor,
        lookup: Lookup,
        key: TsigKey | Kerberos | None,
        wall_clock: Callable[[], float],
        server: HostPort | None = None,
        timeouts: Sequence[float] = DEFAULT_TIMEOUTS,
        replace_own: bool = False,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._key = key
        self._wall_clock = wall_clock
        self._server = server
        self._timeouts = tuple(timeouts)
        self._replace_own = replace_own

    async def publish(self, publication: Publication) -> UpdateDone:
        """Add our record to the domain's set. To do it again changes nothing. Raises `UpdateFailed`."""
        found = await self._survey(publication)
        replaced = found.earlier(publication) if self._replace_own else ()
        beside = [record for record in found.without(publication) if record not in replaced]
        if beside:
            publication = publication.with_ttl(beside[0].ttl)
        try:
            await self._send(addition(found.zone, publication, found.owner, replaced), found)
        except UpdateFailed as failed:
            if (
                failed.reason is Reason.DNS_REFUSED
                and "_" in publication.target
                and await self._may(found, publication)
            ):
                raise _underscore(publication, found) from None
            raise
        return _done(publication, found, replaced)

    async def target_problem(self, publication: Publication) -> str:
        """Why clients that are sent to the record's host find nothing, in a sentence; "" where DNS knows no reason.

        RFC 2782 wants a name there that has an address, not an alias. Where DNS does not answer, nothing is known.
        """
        target = publication.target
        try:
            aliases = (await self._lookup.host(target)).aliases
            instead = aliases[-1] if aliases else ""
        except LookupFailed as failed:
            aliases = (failed.name,) if failed.name not in (target, "") else ()
            if not aliases:
                return str(failed) if failed.says_no else ""
            # It would lead to nothing, or nobody knows whether it does.
            instead = "a host that has an address"
        if not aliases:
            return ""
        return (
            f"{target} is an alias (CNAME) of {aliases[-1]}, and an SRV record must not lead to an alias (RFC 2782): "
            f"name {instead} instead."
        )

    async def _may(self, found: _Found, publication: Publication) -> bool:
        """Whether the server lets us add such a record for another host; nothing is added."""
        try:
            await self._send(never(found.zone, publication, found.owner), found)
        except UpdateFailed as failed:
            return failed.reason is not Reason.DNS_REFUSED
        return True

    async def withdraw(self, publication: Publication) -> UpdateDone:
        """Take our record, and no other, out of the domain's set. Raises `UpdateFailed`."""
        found = await self._survey(publication)
        await self._send(removal(found.zone, publication, found.owner), found)
        return _done(publication, found)

    async def _survey(self, publication: Publication) -> _Found:
        given = None if self._server is None else await self._given(self._server)
        try:
            if given is not None:
                primary = Lookup(self._reactor, given, self._timeouts)
                zone = await primary.zone_of(publication.name)
            else:
                zone = await self._lookup.zone_of(publication.name)
                servers = await self._in_dns(HostPort(zone.primary, DNS_PORT))
                primary = Lookup(self._reactor, servers, self._timeouts)
        except IsAlias as alias:
            raise _is_alias(publication, alias.leads_to) from None
        except LookupFailed as failed:
            raise UpdateFailed(
                _reason_of(failed), f"The zone of {publication.domain} cannot be found: {failed}"
            ) from None
        try:
            answer = await primary.service(publication.domain)
        except LookupFailed as failed:
            if failed.name != publication.name:
                # An alias was followed, and what it leads to need not be this server's to know.
                raise _is_alias(publication, failed.name) from None
            if not failed.says_no or failed.server is None:
                raise UpdateFailed(_reason_of(failed), str(failed)) from None
            return _Found(zone.name, zone.primary, failed.server)
        if answer.owner != publication.name:
            raise _is_alias(publication, answer.owner)
        return _Found(zone.name, zone.primary, answer.server, answer.records, answer.written)

    async def _given(self, server: HostPort) -> list[HostPort]:
        """The addresses of the server that the administrator named. Raises `UpdateFailed`.

        DNS is asked first, for its servers may be configured; but a name may stand in this machine's hosts file only.
        """
        if is_address(server.host):
            return [server]
        try:
            return await self._in_dns(server)
        except LookupFailed as failed:
            addresses = await system_addresses(self._reactor, server.host, sum(self._timeouts))
            if not addresses:
                sentence = f"The DNS server {server.host} cannot be found: {failed}"
                raise UpdateFailed(_reason_of(failed), sentence) from None
            return [HostPort(address, server.port) for address in addresses]

    async def _in_dns(self, server: HostPort) -> list[HostPort]:
        """All addresses of a server, to be tried in turn: a machine may have no way to the IPv6 ones."""
        return [HostPort(address, server.port) for address in (await self._lookup.host(server.host)).addresses]

    async def _send(self, message: dns.update.UpdateMessage, found: _Found) -> None:
        now = self._wall_clock()
        try:
            signed = sign(message, await self._key_for(found, now), now)
            answer = await exchange(self._reactor, found.server, signed.wire, self._timeouts)
        except NoAnswer as none:
            raise UpdateFailed(Reason.DNS_UNREACHABLE if none.refused else Reason.DNS_TIMEOUT, str(none)) from None
        check_answer(answer, signed, str(found.server), found.zone, now)

    async def _key_for(self, found: _Found, now: float) -> SigningKey | None:
        if not isinstance(self._key, Kerberos):
            return self._key
        # A principal is of a name: the one we were given, or else the one that the zone has for its primary.
        given = self._server is not None and not is_address(self._server.host)
        name = self._server.host if self._server is not None and given else found.primary
        return await self._key.agree(self._reactor, found.server, name, now, self._timeouts)


def _reason_of(failed: LookupFailed) -> Reason:
    if failed.problem is LookupProblem.TIMEOUT:
        return Reason.DNS_TIMEOUT
    if failed.problem in (LookupProblem.NO_ROUTE, LookupProblem.CLOSED):
        return Reason.DNS_UNREACHABLE
    return Reason.DNS_LOOKUP


def _is_alias(publication: Publication, of: str) -> UpdateFailed:
    # A server says that it did such an update, and does nothing (RFC 2136 3.4.2.2).
    return UpdateFailed(
        Reason.DNS_ALIAS,
        f"{publication.name} is an alias (CNAME) of {of}, and no other record can exist at an alias: publish in the "
        f"domain it leads to, or remove the alias.",
    )


def _underscore(publication: Publication, found: _Found) -> UpdateFailed:
    return UpdateFailed(
        Reason.DNS_TARGET,
        f"The DNS server {found.server} refuses the record for the name in it: {publication.target} has an underscore, "
        "which a host name must not have (RFC 952), and BIND accepts none unless told to (check-names ignore). "
        "Name the host by another of its names; should that be refused too, look at what the key may do.",
    )


def _done(publication: Publication, found: _Found, replaced: tuple[SrvRecord, ...] = ()) -> UpdateDone:
    rest = found.without(publication)
    ours = found.earlier(publication)
    others = tuple(record for record in rest if record not in ours)
    outdated = tuple(record for record in ours if record not in replaced)
    stood = len(rest) < len(found.records)
    return UpdateDone(publication, found.zone, found.server, others, outdated, stood, replaced)
