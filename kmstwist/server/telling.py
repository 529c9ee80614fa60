"""Telling people, as a part of the server: the targets of `[notify]`, tried before the server starts."""

from __future__ import annotations

import socket
from typing import Any

from twisted.application.service import Service

from kmstwist.clock import now
from kmstwist.configuration.derived import state_dir
from kmstwist.configuration.model import Config
from kmstwist.notify.memory import FILE_NAME
from kmstwist.notify.service import NotifyService, Source, Store
from kmstwist.notify.settings import NotifySettings
from kmstwist.notify.targets import Target, TargetError, make_targets
from kmstwist.startup import StartupError


def targets_of(settings: NotifySettings) -> list[Target]:
    """The targets; none where nobody is to be told. Raises `StartupError`."""
    try:
        return make_targets(settings.targets)
    except TargetError as error:
        raise StartupError(str(error)) from None


def make_telling(
    config: Config, targets: list[Target], source: Source, store: Store | None, reactor: Any
) -> list[Service]:
    """The service that tells people, or none."""
    if not targets:
        return []
    called = config.notify.name or config.audit.gateway or socket.gethostname()
    file = state_dir(config) / FILE_NAME
    return [NotifyService(config.notify, targets, called, source, store, file, reactor, now)]
