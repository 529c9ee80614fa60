"""Which DNS server is asked when: in order, and the next one in addition if the first does not answer soon.

As in every stub resolver, the next server is asked when one fails, never because one said that a name does not exist. A
silent server is not given up: a late answer counts as long as no other server has answered. A server that did not
answer is asked last for a while (as in systemd-resolved and dnsmasq), so that a dead one costs one wait in all and not
one for each name.
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

#: For how many seconds a server that did not answer is asked after the others.
LAST_FOR = 60.0

#: After how many seconds without an answer the next server is asked as well; Windows' own resolver waits one, too
#: (Microsoft, "DNS client resolution timeouts", KB 2834226).
HEAD_START = 1.0

#: The failures that mean that a server is away; a SERVFAIL or a refusal is about one name only.
_AWAY = {LookupProblem.TIMEOUT, LookupProblem.CLOSED, LookupProblem.NO_ROUTE}

Ask = Callable[[HostPort], Coroutine[Any, Any, dns.message.Message]]
"""Asks one server; raises `LookupFailed` if it does not answer."""


class Standing:
    """Which servers did not answer recently. `clock` provides time (`IReactorTime`)."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._away_since: dict[HostPort, float] = {}

    def in_order(self, servers: Sequence[HostPort]) -> list[HostPort]:
        """The servers in the order to ask them: as given, but those that were away last, the longest away first."""
        oldest = self._clock.seconds() - LAST_FOR
        self._away_since = {server: since for server, since in self._away_since.items() if since > oldest}
        return sorted(dict.fromkeys(servers), key=lambda server: self._away_since.get(server, oldest))

    def away(self, server: HostPort) -> None:
        """Note that the server did not answer."""
        self._away_since.setdefault(server, self._clock.seconds())

    def there(self, server: HostPort) -> None:
        """Note that the server answered."""
        self._away_since.pop(server, None)


class Race:
    """One question to several servers: the first that answers wins. `run` is called once.

    After `head_start` seconds without an answer, the next server is asked as well.
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
        """Fires with the answer and its server. If all fail, fails with the `LookupFailed` of the first one asked."""
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
            # We cancelled this question.
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
            # A server that has failed needs no head start; an earlier one may still answer.
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
