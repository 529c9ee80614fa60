"""Admission: who may ask, how often, and over how many connections.

A client outside the allowed networks may connect and bind, and its call is answered with "access denied": to Windows a
connection that is merely closed looks like a network fault, while the status appears in the client's event log. Above
its rate a client gets "server too busy", which makes Windows come back later. Connections above a limit are closed,
because no client needs so many.

The decision depends on the address, and is the same for the gateway and the lab. Behind a load balancer, the address is
the one in its PROXY header.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from twisted.internet.interfaces import IReactorTime

from kmstwist.admission.networks import NetworkTable
from kmstwist.admission.rates import TokenBuckets
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.kms.activation import ActivationFault
from kmstwist.networks import network_around, normalised
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus

#: How many PDUs count as one call in the rates: a call is a bind and a request, so no client needs more.
_PACKETS_PER_CALL: Final = 10
#: From this many connections in all, one client gets at most half of them. A smaller number was set deliberately.
_SHARED_FROM: Final = 16
#: How many PDUs from an address that may not ask are answered at once, and per minute: its binds, and the refusals
#: of its calls.
_DENIED_BURST: Final = 100
_DENIED_RATE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection or a call is not admitted, and the fault status for the call."""

    status: FaultStatus
    reason: Reason
    detail: str

    def fault(self) -> ActivationFault:
        """The refusal as what an activator fails with."""
        return ActivationFault(self.status, self.reason, self.detail)


class _Known(NamedTuple):
    """What the settings say about an address."""

    #: The address as it is judged, and the network it is counted in; None for other peers, such as those of a Unix
    #: socket.
    address: str | None
    network: str
    allowed: bool
    exempt: bool
    balancer: bool


_PAUSED = Refusal(FaultStatus.SERVER_TOO_BUSY, Reason.SERVER_PAUSED, "paused by the administrator")


class Admission:
    """Admits or refuses connections and calls by the settings, which may change while it runs."""

    def __init__(self, settings: AdmissionSettings, clock: IReactorTime, *, connections: int) -> None:
        """`connections` is how many may be open in all."""
        self._clock = clock
        #: How many connections each client has open. Not a `Counter`, which calls Python functions for a first or last.
        self._open: dict[str, int] = {}
        self._total = 0
        #: The clients of connections that have ended and are not counted down yet.
        self._gone: list[str] = []
        #: Takes note that a connection of this client, which was counted, has ended. Nobody needs the numbers until the
        #: next connection is made, which counts down all that ended before it.
        self.closed: Final[Callable[[str], None]] = self._gone.append
        self._paused = False
        #: The clients that `judge` and `judge_packets` would only let pass: those that may ask, and whose calls nobody
        #: counts. Whoever finds a client here need not ask. It knows those that were judged lately, and none while
        #: paused.
        self.free: Final[set[str]] = set()
        #: Whether a pause or a stop is about to come: calls are still answered, and the health check says that we
        #: are leaving.
        self.leaving = False
        self._connections = connections
        self._use(settings)

    def apply(self, settings: AdmissionSettings, *, connections: int) -> None:
        """Apply changed settings; buckets start full again."""
        self._connections = connections
        if settings != self._settings:
            self._use(settings)

    @property
    def paused(self) -> bool:
        """Whether every call is answered "too busy" for now."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        self.free.clear()

    def _use(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self.free.clear()
        self._rules = NetworkTable({**dict.fromkeys(settings.allow, True), **dict.fromkeys(settings.deny, False)})
        self._exempt = NetworkTable.of(settings.exempt)
        self._balancers = NetworkTable.of(settings.proxy_from)
        #: Whether connections from an address begin with a PROXY header. Where no balancer is configured, each new
        #: connection asks an empty set.
        self.is_balancer: Callable[[str], bool] = (
            self._is_balancer if settings.proxy_from else frozenset[str]().__contains__
        )
        # Finding an address in three tables costs 15 µs, and most clients come again.
        self._known = lru_cache(maxsize=settings.remembered)(self._look_up)
        size, seconds = settings.remembered, self._clock.seconds
        self._clients = TokenBuckets(settings.client_rate, settings.client_burst, size, seconds)
        self._networks = TokenBuckets(settings.network_rate, settings.network_burst, size, seconds)
        self._denied = TokenBuckets(_DENIED_RATE, _DENIED_BURST, size, seconds)
        self._packets = TokenBuckets(
            settings.client_rate * _PACKETS_PER_CALL, settings.client_burst * _PACKETS_PER_CALL, size, seconds
        )
        self._network_packets = TokenBuckets(
            settings.network_rate * _PACKETS_PER_CALL, settings.network_burst * _PACKETS_PER_CALL, size, seconds
        )

    def _look_up(self, client: str) -> _Known:
        address = normalised(client)
        if address is None:
            return _Known(None, "", allowed=True, exempt=False, balancer=False)
        settings = self._settings
        return _Known(
            str(address),
            network_around(address, settings.network_prefix_ipv4, settings.network_prefix_ipv6),
            allowed=bool(self._rules.find(address)),
            exempt=bool(self._exempt.find(address)),
            balancer=bool(self._balancers.find(address)),
        )

    @property
    def open_connections(self) -> int:
        """How many connections are counted at present."""
        return self._total - len(self._gone)

    @property
    def remembered(self) -> int:
        """How many addresses and networks have a bucket at present."""
        return len(self._clients) + len(self._networks)

    def _is_balancer(self, peer: str) -> bool:
        return self._known(peer).balancer

    def opened(self, client: str) -> Refusal | None:
        """Count a client's connection. Returns why it must be closed, or None. Call `closed` later in both cases."""
        if self._gone:
            self._count_down()
        self._total += 1
        own = self._open[client] = self._open.get(client, 0) + 1
        # If fewer connections are possible than configured, one client must not get all of them.
        cap = self._settings.client_connections
        if self._connections >= _SHARED_FROM:
            cap = min(cap, self._connections // 2)
        if own > cap and not self._known(client).exempt:
            return Refusal(
                FaultStatus.SERVER_TOO_BUSY, Reason.ADMISSION_CONNECTIONS, f"{cap} connections of this client are open"
            )
        if self._total > self._connections:
            return Refusal(
                FaultStatus.SERVER_TOO_BUSY, Reason.SERVER_CONNECTIONS, f"{self._connections} connections are open"
            )
        return None

    def _count_down(self) -> None:
        counts = self._open
        for client in self._gone:
            left = counts.pop(client) - 1
            if left:
                counts[client] = left
        self._total -= len(self._gone)
        self._gone.clear()

    def judge_packets(self, client: str, number: int) -> Refusal | None:
        """Why a connection is closed after this many PDUs of any kind; None if it goes on.

        A flood of other PDUs costs as much as one of calls, so the same rates apply.
        """
        known = self._known(client)
        settings = self._settings
        if known.allowed and not (settings.client_rate or settings.network_rate):
            return None
        address = known.address
        if address is None or (known.allowed and known.exempt):
            return None
        if not known.allowed:
            if self._denied.take(address, number):
                return None
            text = f"more than {_DENIED_RATE:g} PDUs a minute from {address}, which is in no network that may ask"
            return Refusal(FaultStatus.ACCESS_DENIED, Reason.ADMISSION_NETWORK, text)
        if not self._packets.take(address, number):
            text = f"more than {settings.client_rate * _PACKETS_PER_CALL:g} PDUs a minute from this address"
            return Refusal(FaultStatus.SERVER_TOO_BUSY, Reason.ADMISSION_RATE, text)
        if settings.network_rate and not self._network_packets.take(known.network, number):
            text = f"more than {settings.network_rate * _PACKETS_PER_CALL:g} PDUs a minute from {known.network}"
            return Refusal(FaultStatus.SERVER_TOO_BUSY, Reason.ADMISSION_NETWORK_RATE, text)
        return None

    def judge(self, client: str) -> Refusal | None:
        """Why a client's call is refused; None if it is admitted."""
        known = self._known(client)
        address = known.address
        if not known.allowed:
            return Refusal(
                FaultStatus.ACCESS_DENIED, Reason.ADMISSION_NETWORK, f"{address} is in no network that may ask"
            )
        if self._paused:
            return _PAUSED
        settings = self._settings
        # A Unix socket's peer, which has no address, got past the file's permissions; there is no network to judge.
        if address is None or known.exempt or not (settings.client_rate or settings.network_rate):
            if len(self.free) >= settings.remembered:
                self.free.clear()
            self.free.add(client)
            return None
        if not self._clients.take(address):
            return Refusal(
                FaultStatus.SERVER_TOO_BUSY,
                Reason.ADMISSION_RATE,
                f"more than {settings.client_rate:g} calls a minute from this address",
            )
        network = known.network
        if settings.network_rate and not self._networks.take(network):
            self._clients.give_back(address)
            return Refusal(
                FaultStatus.SERVER_TOO_BUSY,
                Reason.ADMISSION_NETWORK_RATE,
                f"more than {settings.network_rate:g} calls a minute from {network}",
            )
        return None
