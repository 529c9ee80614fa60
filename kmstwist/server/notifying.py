"""Notifying people, as a part of the server: the targets of `[notify]`, checked before the server starts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kmstwist.clock import now
from kmstwist.configuration.derived import state_dir
from kmstwist.configuration.model import Config
from kmstwist.notify.settings import NotifySettings
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError

# Loaded only if there are targets.
if TYPE_CHECKING:
    from twisted.application.service import Service

    from kmstwist.notify.service import Source, Store
    from kmstwist.notify.targets import Target


def targets_of(settings: NotifySettings) -> list[Target]:
    """The targets; empty if nobody is to be notified. Raises `StartupError`."""
    if not settings.targets:
        return []
    from kmstwist.notify.targets import TargetError, make_targets

    try:
        return make_targets(settings.targets)
    except TargetError as error:
        raise StartupError(str(error)) from None


def make_notifying(
    config: Config, targets: list[Target], source: Source, store: Store | None, reactor: Reactor
) -> list[Service]:
    """The service that notifies people; empty without targets."""
    if not targets:
        return []
    from kmstwist.notify.memory import FILE_NAME
    from kmstwist.notify.service import NotifyService

    called = config.notify.name or config.audit.gateway or socket.gethostname()
    file = state_dir(config) / FILE_NAME
    return [NotifyService(config.notify, targets, called, source, store, file, reactor, now)]
