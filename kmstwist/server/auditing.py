"""The audit as a part of the server: its settings and its store, tried before the server starts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kmstwist.audit.aside.pragmas import DEFAULT_BUSY_TIMEOUT
from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import StoreError, StoreUnavailable
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.plain.start_check import is_ready
from kmstwist.audit.products.product_name import ProductName
from kmstwist.audit.service import AuditService, try_settings
from kmstwist.audit.settings import AuditSection
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Seconds that a start waits for who has the store locked, as a predecessor under load has.
_PATIENCE = 10.0


def try_store(section: AuditSection, state_dir: Path, *, lab: bool) -> None:
    """Raise `StartupError` if the audit could not start; its store is not changed."""
    if section.enabled:
        store = section.store_path(state_dir, lab=lab)
        if not is_ready(store, make=False):
            from kmstwist.audit.migrate import check

            _with_store(store, check)
        _settings(section, state_dir, lab=lab)


def _with_store(store: Path, look: Callable[[Engine], None], patience: float = _PATIENCE) -> None:
    from kmstwist.audit.engine import open_engine

    try:
        engine = open_engine(str(store), busy_timeout=patience)
        try:
            look(engine)
        finally:
            engine.dispose()
    except (StoreError, OSError) as error:
        where = "" if isinstance(error, StoreError) else f"the audit store {store}"
        raise StartupError.of(error, where, "name another with store in [audit]") from None


def make_audit(
    section: AuditSection,
    state_dir: Path,
    reactor: Reactor,
    *,
    lab: bool,
    forwards: bool = True,
    drain: float = 10.0,
    names: Sequence[ProductName] = (),
) -> AuditService | None:
    """The audit service, its store tried and brought up to date; None where it is off. Raises `StartupError`.

    Of several workers one `forwards` to the central store, for all of them. `names` are the site's for products.
    `drain` is how long (seconds) the end may wait for a store that fails.
    """
    if not section.enabled:
        return None
    ready = _make_ready(section, section.store_path(state_dir, lab=lab))
    settings = _settings(section, state_dir, lab=lab, forwards=forwards, drain=drain)
    # Only an opened store tells whether its hashes are of another salt, or a central one cannot be fed from it.
    later = ready and not settings.privacy.hashes and settings.forward_to is None
    return AuditService(replace(settings, names=names), reactor, later=later)


def _make_ready(section: AuditSection, store: Path) -> bool:
    """Bring the store up to date; whether it needed no more than a look. Raises `StartupError`."""
    if is_ready(store, make=True):
        return True
    from kmstwist.audit.migrate import migrate

    def migrate_or_serve(engine: Engine) -> None:
        # A store that cannot be used at present is left to the service, which says so and goes on.
        with suppress(StoreUnavailable):
            migrate(engine)

    if section.on_failure is OnFailure.SERVE:
        # Clients must not wait for it.
        _with_store(store, migrate_or_serve, DEFAULT_BUSY_TIMEOUT)
    else:
        _with_store(store, migrate)
    return False


def _settings(
    section: AuditSection, state_dir: Path, *, lab: bool, forwards: bool = True, drain: float = 10.0
) -> AuditSettings:
    """The audit's settings from the configuration, checked. Raises `StartupError`."""
    settings = AuditSettings(
        store=str(section.store_path(state_dir, lab=lab)),
        gateway=section.gateway or socket.gethostname(),
        on_failure=section.on_failure,
        privacy=section.privacy.policy(),
        limits=section.limits,
        forward_to=section.forward_to,
        forwards=forwards,
        gather=section.gather,
        batch=section.batch,
        queue=section.queue,
        drain=drain,
    )
    try:
        try_settings(settings)
    except (StoreError, OSError) as error:
        raise StartupError.of(error, "[audit]") from None
    return settings
