"""The service that keeps our SRV record in DNS while the gateway runs.

It publishes in every domain at start and again after each refresh interval, as a Windows KMS host does (once every 24
hours). A domain that fails is tried again on its own, after a wait that doubles each time up to a longest one, each
wait shortened at random by up to half, so that gateways that failed together do not return together. On an orderly
stop it withdraws the record, if it is to, and waits no longer for that than it is given.

Its log events are the `DNS_…` ones of `kmstwist.logevents`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.update import UpdateFailed
from kmstwist.discovery.publishing.updater import Publishes, UpdateDone
from kmstwist.logevents import (
    DEFECT,
    DNS_OUTDATED,
    DNS_PUBLISH_FAILED,
    DNS_PUBLISHED,
    DNS_TARGET_UNUSABLE,
    DNS_WITHDRAW_FAILED,
    DNS_WITHDRAWN,
)
from kmstwist.pacing.waits import doubled, spread
from kmstwist.reasons import Reason

_log = Logger()


class PublisherService(Service):
    """Keeps the given records published.

    `clock` provides time (`IReactorTime`); `updater` does the updates; `random` returns a number in [0, 1). Durations
    in seconds. `withdraw` says whether an orderly stop removes the records, `stop_within` how long that may take.
    `problems` has each domain that was tried, with why our record is not there, or "" if it is.
    """

    name = "dns-publisher"

    def __init__(
        self,
        clock: IReactorTime,
        updater: Publishes,
        publications: Sequence[Publication],
        random: Callable[[], float],
        *,
        refresh: float = 86400.0,
        retry_first: float = 30.0,
        retry_longest: float = 3600.0,
        withdraw: bool = False,
        stop_within: float = 5.0,
        log: Logger = _log,
    ) -> None:
        self._clock = clock
        self._updater = updater
        self._random = random
        self._refresh = refresh
        self._retry_first = retry_first
        self._retry_longest = retry_longest
        #: Whether an orderly stop withdraws the records.
        self.withdraw = withdraw
        self._stop_within = stop_within
        self._log = log
        self._publications = tuple(publications)
        self._next: dict[str, Any] = {}
        self._under_way: dict[str, Deferred[None]] = {}
        self.problems: dict[str, str] = {}

    def startService(self) -> None:
        """Publish in every domain now."""
        super().startService()
        for publication in self._publications:
            self._begin(publication, attempt=1)

    def stopService(self) -> Deferred[list[None]]:
        """Stop refreshing; withdraw the records if asked to. Fires when that is done or its time is up; never fails."""
        super().stopService()
        for call in self._next.values():
            call.cancel()
        self._next.clear()
        for running in list(self._under_way.values()):
            running.cancel()
        if not self.withdraw:
            return gatherResults([])
        return gatherResults([self._withdrawal(publication) for publication in self._publications])

    def _begin(self, publication: Publication, attempt: int) -> None:
        self._next.pop(publication.domain, None)
        running = Deferred.fromCoroutine(self._publish(publication, attempt))
        if not running.called:
            self._under_way[publication.domain] = running
            running.addBoth(self._ended, publication.domain)

    def _ended(self, result: object, domain: str) -> None:
        del self._under_way[domain]

    async def _publish(self, publication: Publication, attempt: int) -> None:
        begun = self._clock.seconds()
        try:
            done = await self._attempted(self._published(publication))
        except UpdateFailed as failed:
            self.problems[publication.domain] = str(failed)
            wait = spread(doubled(self._retry_first, self._retry_longest, attempt), self._random)
            DNS_PUBLISH_FAILED.emit(
                self._log,
                domain=publication.domain,
                record=str(publication),
                reason=failed.reason.value,
                detail=str(failed),
                attempt=attempt,
                retry_s=round(wait),
            )
            self._schedule(wait, publication, attempt + 1)
        except CancelledError:
            return
        else:
            self._note(done, (self._clock.seconds() - begun) * 1000)
            self._schedule(self._refresh, publication, 1)

    async def _published(self, publication: Publication) -> UpdateDone:
        """Publish; before that, log what is wrong with the host's name. Clients may use another DNS than we do."""
        problem = await self._updater.target_problem(publication)
        if problem:
            DNS_TARGET_UNUSABLE.emit(
                self._log,
                domain=publication.domain,
                host=publication.target,
                reason=Reason.DNS_TARGET.value,
                detail=problem,
            )
        return await self._updater.publish(publication)

    async def _attempted(self, update: Awaitable[UpdateDone]) -> UpdateDone:
        """Run an update so that a defect in it does not end publishing: it is logged completely, and tried again."""
        try:
            return await update
        except (UpdateFailed, CancelledError):
            raise
        except Exception as defect:
            DEFECT.emit(self._log, detail="updating DNS", traceback=Failure().getTraceback())
            raise UpdateFailed(Reason.SERVER_ERROR, f"A defect in kmstwist: {defect!r}.") from defect

    def _note(self, done: UpdateDone, took_ms: float) -> None:
        publication = done.publication
        self.problems[publication.domain] = ""
        DNS_PUBLISHED.emit(
            self._log,
            domain=publication.domain,
            record=str(publication),
            zone=done.zone,
            server=str(done.server),
            others=len(done.others),
            took_ms=took_ms,
        )
        for record in done.outdated:
            command = f"kmstwist dns withdraw {record.options(publication.domain)}"
            DNS_OUTDATED.emit(self._log, domain=publication.domain, record=str(record), **{"try": command})

    def _schedule(self, seconds: float, publication: Publication, attempt: int) -> None:
        if self.running:
            self._next[publication.domain] = self._clock.callLater(seconds, self._begin, publication, attempt)

    def _withdrawal(self, publication: Publication) -> Deferred[None]:
        removed = Deferred.fromCoroutine(self._attempted(self._updater.withdraw(publication)))
        removed.addTimeout(self._stop_within, self._clock)

        def withdrawn(done: UpdateDone) -> None:
            self.problems.pop(publication.domain, None)
            DNS_WITHDRAWN.emit(
                self._log,
                domain=publication.domain,
                record=str(publication),
                zone=done.zone,
                server=str(done.server),
            )

        def failed(failure: Any) -> None:
            error = failure.value
            late = failure.check(DeferredTimeout) is not None
            DNS_WITHDRAW_FAILED.emit(
                self._log,
                domain=publication.domain,
                record=str(publication),
                reason=(Reason.DNS_TIMEOUT if late else error.reason).value,
                detail=f"It was not done within {self._stop_within:g} seconds." if late else str(error),
            )

        return removed.addCallbacks(withdrawn, failed)
