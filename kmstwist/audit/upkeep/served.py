"""A running server's store: opening it and noting the policy in it, forwarding, and retention.

Everything here blocks, and is the writer's thread's; any thread may read `storage.engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from kmstwist.audit.aside.access import StoreAccess
from kmstwist.audit.asking.facts import write_policy
from kmstwist.audit.central.forward import Forwarder
from kmstwist.audit.central.salt import OWN_CURE, join
from kmstwist.audit.central.targets import register, target_name, unregister_others
from kmstwist.audit.engine import is_sqlite, open_engine
from kmstwist.audit.plain.faults import StoreError, not_open, plain_error
from kmstwist.audit.plain.settings import AuditSettings, salt_file_of, salt_of
from kmstwist.audit.products.names import note_configured
from kmstwist.audit.storage import Storage
from kmstwist.audit.strangers import Sighting, remember
from kmstwist.audit.upkeep.retention import Outcome, prune
from kmstwist.reactor import Reactor
from kmstwist.system.threads import OneThread


class ServedStore:
    """The audit's store while a server runs. `now` returns the time in seconds since 1970."""

    def __init__(self, settings: AuditSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self.storage = Storage(settings.store, settings.busy_timeout, self._opened)
        self.storage.at_leisure = settings.forwards
        self.forwarder: Forwarder | None = None

    def open(self) -> None:
        """Open the store, and bring its tables up to date. Raises StoreError."""
        try:
            self.storage.open()
        except (ValueError, OSError, RuntimeError, SQLAlchemyError) as error:
            raise StoreError(f"the audit cannot start: {plain_error(error)}") from error

    def _opened(self, engine: Engine) -> None:
        """Set up an opened store: note its policy, and start forwarding."""
        settings = self._settings
        salt = salt_of(settings)
        join(engine, salt, f"the store {settings.store}", OWN_CURE)
        write_policy(engine, settings.privacy, salt_file_of(settings).absolute())
        note_configured(engine, settings.names)
        self._start_forwarding(engine, salt)

    def _start_forwarding(self, engine: Engine, salt: bytes) -> None:
        if not self._settings.forwards:
            return
        if self.forwarder is not None:
            # It reads a store that no longer exists.
            self.forwarder.stop()
        if self._settings.forward_to is None:
            unregister_others(engine, None)
            return
        target = target_of(self._settings.forward_to)
        register(engine, target_name(target))
        unregister_others(engine, target_name(target))
        self.forwarder = Forwarder(engine, target, salt=salt, now=self._now)
        self.forwarder.start()

    def keep(self) -> bool:
        """Look at the store, and open it if it is not open; whether it was opened. To be called once a second."""
        with _told_plainly():
            opened = self.storage.keep()
            if self.forwarder is not None:
                self.forwarder.watch()
            return opened

    def remember(self, domain: str, found: Sequence[Sighting]) -> None:
        """Note the strangers found in a domain. Raises StoreError."""
        with _told_plainly():
            remember(self.engine, self._settings.gateway, domain, found, self._milliseconds())

    def retention(self) -> tuple[Iterator[int], Outcome]:
        """Retention step by step: how many rows each has deleted, and what it comes to. A step raises StoreError."""
        outcome = Outcome()
        return self._steps(outcome), outcome

    def _steps(self, outcome: Outcome) -> Iterator[int]:
        with _told_plainly():
            yield from prune(self.engine, self._settings.limits, self._milliseconds(), outcome=outcome)

    def access(self, reactor: Reactor, thread: OneThread) -> StoreAccess:
        """The way to the store from the reactor's thread; `thread` is the writer's."""
        return StoreAccess(self.storage, reactor, thread, self._settings.busy_timeout)

    @property
    def engine(self) -> Engine:
        """The store. Raises StoreError while there is none."""
        engine = self.storage.engine
        if engine is None:
            raise not_open(self._settings.store)
        return engine

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn SQLAlchemy's errors into a StoreError, so that callers need not import SQLAlchemy."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(plain_error(error)) from error


def target_of(forward_to: str) -> Engine:
    """The central store to forward to. Raises `StoreError` if it is not a PostgreSQL."""
    target = open_engine(forward_to)
    if is_sqlite(target):
        raise StoreError("the audit forwards to PostgreSQL", "give forward_to a postgresql:// URL")
    return target
