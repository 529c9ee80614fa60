"""How many file descriptors each part of this server may have, from the configuration and the process's limit."""

from __future__ import annotations

import resource

from twisted.logger import Logger

from kmstwist.configuration.model import Config
from kmstwist.logevents import DESCRIPTORS_FEW
from kmstwist.process.descriptors import Budget, share_out
from kmstwist.process.workers.adoption import Adoption

_log = Logger(namespace="kmstwist.server")

#: Enough connections if the configuration sets no number; at most a thousand clients come in a second.
_ENOUGH = 1000


def budget_for(config: Config, adoption: Adoption) -> Budget:
    """The budget of a server or of one of several workers; with `Adoption(worker=0, of=0)` that of their supervisor."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    workers = max(1, adoption.of)
    gateway = config.gateway
    return share_out(
        limit,
        wanted=share(config.server.limits.connections, workers),
        hosts=0 if gateway.discover else len(gateway.upstreams),
        ceiling=share(gateway.pool.ceiling, workers) if gateway.configured and adoption.of else 0,
        web=config.web.listen is not None and not adoption.worker,
        events=bool(config.events.listen) and bool(adoption.of) and adoption.worker <= 1,
    )


def share(total: int, workers: int) -> int:
    """One worker's share of a total, rounded up."""
    return -(-total // workers)


def say_what_does_not_fit(config: Config, budget: Budget, workers: int) -> None:
    """Warn if fewer clients fit than configured or, without a configured number, fewer than a site may need."""
    limits = config.server.limits
    wanted = limits.connections
    fit = min(wanted, budget.clients * workers)
    if fit < (wanted if "connections" in limits.model_fields_set else min(wanted, _ENOUGH)):
        DESCRIPTORS_FEW.emit(
            _log,
            limit=budget.limit,
            wanted=wanted,
            clients=fit,
            cure="raise the limit (LimitNOFILE= of the unit, ulimit -n), or lower server.limits.connections",
        )
