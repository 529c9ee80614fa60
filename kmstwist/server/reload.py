"""Taking a changed configuration without dropping a connection; a bad one is refused and the old one stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from kmstwist.logevents import CONFIG_APPLIED, CONFIG_REFUSED
from kmstwist.server.config import Config
from kmstwist.server.configfile import ConfigError, Effective, Place, leaves

#: What cannot change while the process runs; a section stands for all that is in it.
NEEDS_RESTART: tuple[Place, ...] = (
    ("server", "port"),
    ("server", "listen"),
    ("server", "state_dir"),
    ("server", "run_dir"),
    ("server", "workers"),
    ("lab", "products"),
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
        self._load = load
        self._apply = apply
        self._log = log or Logger(namespace="kmstwist.server")

    def reload(self) -> dict[str, Any]:
        """Read and apply; says what changed and what of it needs a restart. Raises `ConfigError` for a bad one."""
        try:
            new = self._load()
            _refuse_other_mode(self.effective.config, new.config)
        except ConfigError as error:
            for mistake in error.mistakes:
                CONFIG_REFUSED.emit(self._log, detail=mistake)
            raise
        changed = changes(self.effective.config, new.config)
        restart = [place for place in changed if place in NEEDS_RESTART]
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


def changes(old: Config, new: Config) -> list[Place]:
    """The places whose values differ."""
    return [place for (place, before), (_, after) in zip(leaves(old), leaves(new), strict=True) if before != after]


def _refuse_other_mode(old: Config, new: Config) -> None:
    if old.gateway.configured != new.gateway.configured:
        was, would = ("a gateway", "a lab") if old.gateway.configured else ("a lab", "a gateway")
        raise ConfigError(
            [f"gateway.upstreams: this would make {would} of what runs as {was}; restart kmstwist if that is meant"]
        )
