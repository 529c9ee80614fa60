"""Taking a changed configuration without dropping a connection; a bad one is refused and the old one stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from twisted.logger import Logger

from kmstwist.logevents import CONFIG_APPLIED, CONFIG_REFUSED
from kmstwist.server.activators import refuse_ourselves
from kmstwist.server.config import Config
from kmstwist.server.configfile import ConfigError, Effective, Place, leaves
from kmstwist.server.control import CommandError
from kmstwist.server.errors import StartupError

#: What cannot change while the process runs; a section stands for all that is in it.
NEEDS_RESTART: tuple[Place, ...] = (
    ("server", "port"),
    ("server", "listen"),
    ("server", "state_dir"),
    ("server", "run_dir"),
    ("server", "workers"),
    ("lab", "products"),
    ("audit",),
    ("dns", "publish"),
    ("dns", "watch"),
    ("web",),
    ("lab", "clock_error"),
)


class Reloader:
    """`reload` reads the configuration again and hands a good one to `apply`."""

    def __init__(
        self,
        effective: Effective,
        load: Callable[[], Effective],
        apply: Callable[[Config], None],
        log: Logger | None = None,
    ) -> None:
        self.effective = effective
        #: What is in force of that which needs a restart, until there is one.
        self._started = effective.config
        self._load = load
        self._apply = apply
        self._log = log or Logger(namespace="kmstwist.server")

    def reload(self) -> dict[str, Any]:
        """Read and apply; says what is in force now, and what will be after a restart only.

        The latter is said at each reload, until a restart or until it is changed back. Raises `ConfigError` for a bad
        configuration.
        """
        new = read_again(self._load, self._started, self._log)
        changed = [place for place in changes(self.effective.config, new.config) if not needs_restart(place)]
        restart = [place for place in changes(self._started, new.config) if needs_restart(place)]
        self._apply(new.config)
        self.effective = new
        told = {
            "file": "" if new.file is None else str(new.file),
            "changed": ",".join(map(".".join, changed)),
            "restart": ",".join(map(".".join, restart)),
        }
        CONFIG_APPLIED.emit(self._log, **told)
        return told

    def reload_quietly(self) -> None:
        """As `reload`, for a signal, which waits for no answer: the log has it."""
        try:
            self.reload()
        except ConfigError:
            # Its mistakes are in the log, and the old configuration stays.
            return


def read_again(load: Callable[[], Effective], started: Config, log: Logger) -> Effective:
    """The configuration as it is now. Raises `ConfigError`, its mistakes logged, where it cannot follow the one that
    was in force at the start."""
    try:
        new = load()
        _refuse_other_mode(started, new.config)
        # Neither now nor at the next start, which would find it wrong.
        _refuse_circle(new, in_force(started, new.config))
        _refuse_circle(new, new.config)
    except ConfigError as error:
        for mistake in error.mistakes:
            CONFIG_REFUSED.emit(log, detail=mistake)
        raise
    return new


def refused(error: ConfigError) -> CommandError:
    """What somebody is told whose command was to apply a bad configuration."""
    return CommandError("the configuration was refused, the old one stays:\n" + str(error))


def in_force(started: Config, new: Config) -> Config:
    """What a changed configuration comes to until a restart: what needs one is as it was at the start."""
    config: BaseModel = new
    for place in NEEDS_RESTART:
        config = _with(config, place, started)
    assert isinstance(config, Config)
    return config


def _with(model: BaseModel, place: Place, source: BaseModel) -> BaseModel:
    """The model with what stands at a place in `source`."""
    name, *rest = place
    theirs = getattr(source, name)
    return model.model_copy(update={name: _with(getattr(model, name), tuple(rest), theirs) if rest else theirs})


def needs_restart(place: Place) -> bool:
    """Whether a value cannot change while the process runs."""
    return any(place[: len(part)] == part for part in NEEDS_RESTART)


def changes(old: Config, new: Config) -> list[Place]:
    """The places whose values differ."""
    return [place for (place, before), (_, after) in zip(leaves(old), leaves(new), strict=True) if before != after]


def _refuse_circle(new: Effective, config: Config) -> None:
    try:
        refuse_ourselves(config)
    except StartupError as error:
        raise ConfigError([f"{new.origins.get(('gateway', 'upstreams'), 'gateway.upstreams')}: {error}"]) from None


def _refuse_other_mode(old: Config, new: Config) -> None:
    if old.gateway.configured != new.gateway.configured:
        was, would = ("a gateway", "a lab") if old.gateway.configured else ("a lab", "a gateway")
        raise ConfigError(
            [f"gateway.upstreams: this would make {would} of what runs as {was}; restart kmstwist if that is meant"]
        )
