"""Taking a changed configuration without dropping a connection; a bad one is refused and the old one stays."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from kmstwist.configuration.changes import changes, needs_restart, read_again
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config
from kmstwist.configuration.reading import Effective
from kmstwist.logevents import CONFIG_APPLIED


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

    def reload(self) -> dict[str, object]:
        """Read and apply; says what is in force now, and what will be after a restart only.

        The latter is repeated at each reload, until a restart or until it is changed back. Raises `ConfigError` for a
        bad configuration.
        """
        new = read_again(self._load, self._started, self._log)
        changed = [place for place in changes(self.effective.config, new.config) if not needs_restart(place)]
        restart = [place for place in changes(self._started, new.config) if needs_restart(place)]
        self._apply(new.config)
        self.effective = new
        file = "" if new.file is None else str(new.file)
        names, later = list(map(".".join, changed)), list(map(".".join, restart))
        CONFIG_APPLIED.emit(self._log, file=file, changed=",".join(names), restart=",".join(later))
        return {"file": file, "changed": names, "restart": later}

    def reload_quietly(self) -> None:
        """As `reload`, for a signal, which waits for no answer: the log has it."""
        try:
            self.reload()
        except ConfigError:
            # Its mistakes are in the log, and the old configuration stays.
            return
