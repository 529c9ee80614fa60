"""The watch for strangers: KMS hosts that DNS names and the configuration does not.

An unknown KMS host takes clients (and so counts) from the licensed ones, and may not be licensed itself. The watch asks
DNS only: it contacts no host, known or unknown. Its log events are `DNS_STRANGER`, `DNS_STRANGER_GONE` and
`DNS_WATCH_FAILED` of `kmstwist.logevents`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.discovery.known import resolved, strangers_among
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed
from kmstwist.discovery.lookup.concurrently import together
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.srv import available
from kmstwist.logevents import DEFECT, DNS_STRANGER, DNS_STRANGER_GONE, DNS_WATCH_FAILED
from kmstwist.reasons import Reason

_log = Logger()


@dataclass(frozen=True, slots=True, order=True)
class Stranger:
    """A KMS host in DNS that the configuration does not name; `addresses` is empty where its name does not resolve."""

    domain: str
    host: str
    port: int
    priority: int
    weight: int
    addresses: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, int]:
        """What makes it the same one at the next look."""
        return (self.domain, self.host, self.port)


async def strangers_in(lookup: Lookup, domain: str, known: Collection[str]) -> tuple[Stranger, ...]:
    """The strangers among a domain's KMS hosts, sorted. A domain with no KMS host has none.

    `known` holds names and addresses, in the form of `kmstwist.discovery.known.identity`. Raises `LookupFailed` where
    DNS does not answer.
    """
    try:
        answer = await lookup.service(domain)
    except LookupFailed as failed:
        if failed.says_no:
            return ()
        raise
    records = available(answer.records)
    targets = list(dict.fromkeys(record.target for record in records))
    hosts = dict(zip(targets, await together(resolved(lookup, target) for target in targets), strict=True))
    strangers = await strangers_among(lookup, domain, hosts, known)

    def addresses(target: str) -> tuple[str, ...]:
        host = hosts[target]
        return host.addresses if isinstance(host, HostAnswer) else ()

    return tuple(
        sorted(
            Stranger(domain, record.target, record.port, record.priority, record.weight, addresses(record.target))
            for record in records
            if record.target in strangers
        )
    )


class StrangerWatch(Service):
    """Looks for strangers at start and every `interval` seconds.

    `known` returns the names and addresses the configuration holds, asked anew each time. `remember` is told what each
    look found in a domain; `strangers` is what the last look found, for metrics.
    """

    name = "dns-stranger-watch"

    def __init__(
        self,
        clock: IReactorTime,
        lookup: Lookup,
        domains: Sequence[str],
        known: Callable[[], Collection[str]],
        interval: float = 21600.0,
        log: Logger = _log,
    ) -> None:
        self._lookup = lookup
        self._domains = tuple(dict.fromkeys(domains))
        self._known = known
        self._interval = interval
        self._log = log
        self.remember: Callable[[str, Sequence[Stranger]], None] = lambda domain, found: None
        self._found: dict[str, tuple[Stranger, ...]] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._looking: Deferred[None] | None = None

    @property
    def strangers(self) -> dict[str, tuple[Stranger, ...]]:
        """The strangers of each domain that DNS has answered for."""
        return dict(self._found)

    def startService(self) -> None:
        """Look now, and then on schedule."""
        super().startService()
        self._loop.start(self._interval, now=True)

    def stopService(self) -> None:
        """Stop looking; a look under way is given up."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> Deferred[None]:
        self._looking = Deferred.fromCoroutine(self._look_everywhere())
        return self._looking

    async def _look_everywhere(self) -> None:
        for domain in self._domains:
            try:
                found = await strangers_in(self._lookup, domain, self._known())
            except LookupFailed as failed:
                DNS_WATCH_FAILED.emit(self._log, domain=domain, problem=failed.problem.value, detail=str(failed))
            except CancelledError:
                return
            except Exception:
                # The next look must still come: a LoopingCall ends for good with the first error.
                DEFECT.emit(self._log, detail=f"looking for strangers in {domain}", traceback=Failure().getTraceback())
            else:
                self._report(domain, found)

    def _report(self, domain: str, found: tuple[Stranger, ...]) -> None:
        before = {stranger.identity for stranger in self._found.get(domain, ())}
        for stranger in found:
            if stranger.identity not in before:
                DNS_STRANGER.emit(
                    self._log,
                    domain=domain,
                    host=stranger.host,
                    port=stranger.port,
                    priority=stranger.priority,
                    weight=stranger.weight,
                    addresses=",".join(stranger.addresses),
                    reason=Reason.DNS_STRANGER.value,
                )
        for _, host, port in sorted(before - {stranger.identity for stranger in found}):
            DNS_STRANGER_GONE.emit(self._log, domain=domain, host=host, port=port)
        self._found[domain] = found
        self.remember(domain, found)
