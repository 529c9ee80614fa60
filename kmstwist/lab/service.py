"""The lab host as a running service: it answers calls at once, and its memory is saved behind them.

Answers come from memory, so they wait for nothing. What changed is written in a thread, at most once a second, and
once more when the service stops: a lab that is killed forgets a second, and its count comes back with its clients'
next requests.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.host import LabHost
from kmstwist.lab.host_memory import Memory
from kmstwist.lab.host_settings import HostSettings
from kmstwist.lab.store import LabStore
from kmstwist.logevents import LAB_STORE

_SAVE_EVERY = 1.0
NOT_SET = HostSettings()


class LabService(Service):
    """Answers activation calls from a `LabHost` and keeps its memory in a `LabStore`."""

    def __init__(
        self,
        host: LabHost,
        store: LabStore,
        clock: IReactorTime,
        log: Logger | None = None,
        *,
        started_with: HostSettings = NOT_SET,
    ) -> None:
        self.host = host
        self._store = store
        self._log = log or Logger(namespace="kmstwist.lab")
        self._saver = LoopingCall(self._save)
        self._saver.clock = clock
        self._complained = False
        self._saving = DeferredLock()
        self._started_with = started_with

    @property
    def remembered(self) -> int:
        """How many clients count at present, over all applications."""
        return sum(self.host.count(application) for application in APPLICATION_NAMES)

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Answer one call; the Deferred has fired already."""
        return succeed(self.host.answer(call.message, call.client))

    def set_intervals(self, activation: int, renewal: int) -> None:
        """Give clients these intervals (minutes) from now on, and let `slmgr host /dlv` know of it."""
        self.host.activation_interval = activation
        self.host.renewal_interval = renewal
        self._started_with = replace(self._started_with, activation_interval=activation, renewal_interval=renewal)
        noted: Deferred[None] = self._saving.run(deferToThread, self._store.save_running, self._started_with)
        noted.addErrback(self._complain)

    def startService(self) -> None:
        """Begin to save."""
        super().startService()
        self._saver.start(_SAVE_EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        """Save what is left and close the store."""
        super().stopService()
        self._saver.stop()
        return self._save().addBoth(lambda _: self._store.close())

    def _save(self) -> Deferred[object]:
        # One save at a time: the last one at the end must not overtake the one before it.
        return self._saving.run(self._save_changes)

    def _save_changes(self) -> Deferred[object]:
        changes = self.host.take_changes()
        if changes is None:
            return succeed(None)
        return deferToThread(self._store.save, changes).addCallbacks(
            lambda _: self._saved(), self._not_saved, errbackArgs=(changes,)
        )

    def _saved(self) -> None:
        self._complained = False

    def _not_saved(self, failure: Failure, changes: Memory) -> None:
        self.host.return_changes(changes)
        self._complain(failure)

    def _complain(self, failure: Failure) -> None:
        failure.trap(LabFileError)
        if not self._complained:
            self._complained = True
            LAB_STORE.emit(self._log, detail=failure.getErrorMessage())
