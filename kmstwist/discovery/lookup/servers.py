"""Which DNS server is asked when: in their order, the next one beside the first where that one keeps silent.

As in every stub resolver the next server is asked when one fails, never because one said that a name does not exist. A
server that is silent is not given up: what it says late counts as long as no other has answered. And a server that gave
no answer is asked last for a while (as systemd-resolved and dnsmasq do), so that a dead one costs one wait and not one
for each name.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import dns.message
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem

#: Seconds for which a server that gave no answer is asked after the others.
LAST_FOR = 60.0

#: Seconds that a silent server has for itself before the next is asked as well; Windows' own resolver gives one, too
#: (Microsoft, "DNS client resolution timeouts", KB 2834226).
HEAD_START = 1.0

#: What says that a server is away; a SERVFAIL or a refusal is about the one name.
_AWAY = {LookupProblem.TIMEOUT, LookupProblem.CLOSED, LookupProblem.NO_ROUTE}

Ask = Callable[[HostPort], Coroutine[Any, Any, dns.message.Message]]
"""Asks one server, and raises `LookupFailed` where that brings no answer."""


class Standing:
    """Which servers have given no answer lately. `clock` provides time (`IReactorTime`)."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._away_since: dict[HostPort, float] = {}

    def in_order(self, servers: Sequence[HostPort]) -> list[HostPort]:
        """The servers in the order to ask them: as given, but those that were away last, the longest away first."""
        oldest = self._clock.seconds() - LAST_FOR
        self._away_since = {server: since for server, since in self._away_since.items() if since > oldest}
        return sorted(dict.fromkeys(servers), key=lambda server: self._away_since.get(server, oldest))

    def away(self, server: HostPort) -> None:
        """The server has given no answer."""
        self._away_since.setdefault(server, self._clock.seconds())

    def there(self, server: HostPort) -> None:
        """The server has answered."""
        self._away_since.pop(server, None)


class Race:
    """One question to several servers: the first that answers wins. `run` is called once.

    A server has `head_start` seconds before the next is asked beside it.
    """

    def __init__(
        self, clock: IReactorTime, servers: Sequence[HostPort], ask: Ask, standing: Standing, head_start: float
    ) -> None:
        self._clock = clock
        self._order = standing.in_order(servers)
        self._left = list(self._order)
        self._ask = ask
        self._standing = standing
        self._head_start = head_start
        self._asked: dict[HostPort, Deferred[dns.message.Message]] = {}
        self._failed: dict[HostPort, LookupFailed] = {}
        self._waiting: IDelayedCall | None = None
        self._over = False
        self._won: Deferred[tuple[dns.message.Message, HostPort]] = Deferred(lambda given_up: self._end())

    def run(self) -> Deferred[tuple[dns.message.Message, HostPort]]:
        """The answer and who gave it. Fails with the `LookupFailed` of the first that was asked, where all fail."""
        self._next()
        return self._won

    def _next(self) -> None:
        server = self._left.pop(0)
        if self._left:
            self._waiting = self._clock.callLater(self._head_start, self._silent, server)
        asked = self._asked[server] = Deferred.fromCoroutine(self._ask(server))
        asked.addCallbacks(self._answered, self._no_answer, callbackArgs=(server,), errbackArgs=(server,))

    def _silent(self, server: HostPort) -> None:
        self._waiting = None
        self._standing.away(server)
        self._next()

    def _answered(self, answer: dns.message.Message, server: HostPort) -> None:
        self._standing.there(server)
        self._end()
        self._won.callback((answer, server))

    def _no_answer(self, failure: Failure, server: HostPort) -> None:
        if self._over:
            # Given up by us.
            return
        del self._asked[server]
        if not isinstance(failure.value, LookupFailed):
            self._end()
            self._won.errback(failure)
            return
        self._failed[server] = failure.value
        if failure.value.problem in _AWAY:
            self._standing.away(server)
        else:
            self._standing.there(server)
        if self._left:
            # One that has lost needs no head start; one asked before it may still be waited for.
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None
            self._next()
        elif not self._asked:
            self._over = True
            self._won.errback(self._failed[self._order[0]])

    def _end(self) -> None:
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        for asked in self._asked.values():
            asked.cancel()
