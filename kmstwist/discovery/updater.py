"""Publishing and withdrawing our SRV record: find the zone and its primary server, look, then update.

All records of one name and type share one TTL (RFC 2181 5.2), so BIND gives the whole set the TTL of the record that is
added last. To leave other hosts' records as they are, ours takes the TTL of the set it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dns.update

from kmstwist.discovery.exchange import NoAnswer, exchange
from kmstwist.discovery.names import DNS_PORT, is_address
from kmstwist.discovery.resolver import DEFAULT_TIMEOUTS, Lookup, LookupFailed, LookupProblem
from kmstwist.discovery.srv import SrvRecord
from kmstwist.discovery.tsig import TsigKey
from kmstwist.discovery.update import Publication, UpdateFailed, addition, check_answer, removal, sign
from kmstwist.reasons import Reason
from kmstwist.transport.address import HostPort


@dataclass(frozen=True, slots=True)
class UpdateDone:
    """What was done where: `publication` as it stands in DNS, with the TTL it has there.

    `others` are the records of other hosts in the set; `outdated` are earlier records of ours, with the same host and
    port but another priority or weight, which stay until they are withdrawn.
    """

    publication: Publication
    zone: str
    server: HostPort
    others: tuple[SrvRecord, ...]
    outdated: tuple[SrvRecord, ...]


class Publishes(Protocol):
    """What the publishing service needs of whoever does the updates."""

    async def publish(self, publication: Publication) -> UpdateDone:
        """Add the record. Raises `UpdateFailed`."""

    async def withdraw(self, publication: Publication) -> UpdateDone:
        """Take the record out. Raises `UpdateFailed`."""


class Updater:
    """Does updates over the network, signed with `key` if there is one.

    `lookup` finds the zone and its primary server, unless `server` (a name or an address) is given, which is then asked
    for the zone too. `wall_clock` returns seconds since 1970 UTC, for the signature; `timeouts` as in `exchange`.
    """

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        key: TsigKey | None,
        wall_clock: Callable[[], float],
        server: HostPort | None = None,
        timeouts: Sequence[float] = DEFAULT_TIMEOUTS,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._key = key
        self._wall_clock = wall_clock
        self._server = server
        self._timeouts = tuple(timeouts)

    async def publish(self, publication: Publication) -> UpdateDone:
        """Add our record to the domain's set. To do it again changes nothing. Raises `UpdateFailed`."""
        zone, server, present = await self._survey(publication)
        others = [record for record in present if record.data != publication.record.data]
        if others:
            publication = publication.with_ttl(others[0].ttl)
        await self._send(addition(zone, publication), server, zone)
        return _done(publication, zone, server, others)

    async def withdraw(self, publication: Publication) -> UpdateDone:
        """Take our record, and no other, out of the domain's set. Raises `UpdateFailed`."""
        zone, server, present = await self._survey(publication)
        await self._send(removal(zone, publication), server, zone)
        return _done(publication, zone, server, [r for r in present if r.data != publication.record.data])

    async def _survey(self, publication: Publication) -> tuple[str, HostPort, tuple[SrvRecord, ...]]:
        """The zone, its primary's address that answers, and the records that stand in the set now, as it has them."""
        try:
            if self._server is not None:
                primary = Lookup(self._reactor, await self._located(self._server), self._timeouts)
                zone = await primary.zone_of(publication.name)
            else:
                zone = await self._lookup.zone_of(publication.name)
                servers = await self._located(HostPort(zone.primary, DNS_PORT))
                primary = Lookup(self._reactor, servers, self._timeouts)
        except LookupFailed as failed:
            raise UpdateFailed(
                _reason_of(failed), f"The zone of {publication.domain} cannot be found: {failed}"
            ) from None
        try:
            answer = await primary.service(publication.domain)
        except LookupFailed as failed:
            if not failed.says_no or failed.server is None:
                raise UpdateFailed(_reason_of(failed), str(failed)) from None
            return zone.name, failed.server, ()
        return zone.name, answer.server, answer.records

    async def _located(self, server: HostPort) -> list[HostPort]:
        """All addresses of a server, to be tried in turn: a machine may have no way to the IPv6 ones."""
        if is_address(server.host):
            return [server]
        return [HostPort(address, server.port) for address in (await self._lookup.host(server.host)).addresses]

    async def _send(self, message: dns.update.UpdateMessage, server: HostPort, zone: str) -> None:
        now = self._wall_clock()
        signed = sign(message, self._key, now)
        try:
            answer = await exchange(self._reactor, server, signed.wire, self._timeouts)
        except NoAnswer as none:
            raise UpdateFailed(Reason.DNS_UNREACHABLE if none.refused else Reason.DNS_TIMEOUT, str(none)) from None
        check_answer(answer, signed, str(server), zone, now)


def _reason_of(failed: LookupFailed) -> Reason:
    if failed.problem is LookupProblem.TIMEOUT:
        return Reason.DNS_TIMEOUT
    if failed.problem is LookupProblem.NO_ROUTE:
        return Reason.DNS_UNREACHABLE
    return Reason.DNS_LOOKUP


def _done(publication: Publication, zone: str, server: HostPort, rest: list[SrvRecord]) -> UpdateDone:
    ours = [record for record in rest if (record.target, record.port) == (publication.target, publication.port)]
    others = tuple(record for record in rest if record not in ours)
    return UpdateDone(publication, zone, server, others, tuple(ours))
