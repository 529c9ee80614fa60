"""Where a server keeps its files, by the one rule that every command follows.

An option counts first, then the environment, then the configuration file, then the default; each answer knows which of
them it comes from. The file is the one that an option or `KMSTWIST_CONFIG` names, else the installed server's, if there
is one. It is read only if the answer must come from it, so that a command whose options say all it needs works for a
user who may not read the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kmstwist.addresses import DEFAULT_PORT

if TYPE_CHECKING:
    from kmstwist.configuration.places import Place
    from kmstwist.configuration.reading import Effective

#: The configuration that an installed server runs with.
DEFAULT_CONFIG = Path("/etc/kmstwist/kmstwist.toml")
#: Names the configuration file. Empty: there is none.
CONFIG_VARIABLE = "KMSTWIST_CONFIG"
#: Names the command that the user typed where twistd has taken its place, for messages.
CALLED_VARIABLE = "_KMSTWIST_CALLED"
#: Names the audit's store: a file, or the URL of a central one, which the configuration's `store` cannot be.
STORE_VARIABLE = "KMSTWIST_AUDIT_STORE"
DEFAULT = "default"

T = TypeVar("T", covariant=True)

_PORT: Place = ("server", "port")
_LISTEN: Place = ("server", "listen")
_STATE_DIR: Place = ("server", "state_dir")
_RUN_DIR: Place = ("server", "run_dir")
_STORE: Place = ("audit", "store")
_OPTIONS = {_PORT: "--port", _STATE_DIR: "--state-dir", _RUN_DIR: "--run-dir", _STORE: "--store"}


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value and where it comes from: an option, a variable, a line of the configuration file, or "default"."""

    value: T
    origin: str


class Whereabouts:
    """The answers for one command; an option that was not given is None.

    Properties that read the configuration file raise `ConfigError` if it cannot be used. Those that fall back on the
    user's own folder raise `LabKeyError` if the user has no home.
    """

    def __init__(
        self,
        *,
        config: Path | None = None,
        port: int | None = None,
        state_dir: Path | None = None,
        run_dir: Path | None = None,
        store: str | None = None,
        environ: Mapping[str, str] | None = None,
        installed: Path | None = None,
    ) -> None:
        self._given: dict[Place, Any] = {_PORT: port, _STATE_DIR: state_dir, _RUN_DIR: run_dir, _STORE: store}
        self._config = config
        self._environ = os.environ if environ is None else environ
        self._installed = installed or DEFAULT_CONFIG

    @cached_property
    def config(self) -> Found[Path | None]:
        """The configuration file; None if there is none."""
        if self._config is not None:
            return Found(self._config.absolute(), "--config")
        if (named := self._environ.get(CONFIG_VARIABLE)) is not None:
            return Found(Path(named).absolute() if named else None, CONFIG_VARIABLE)
        return Found(self._installed if _is_there(self._installed) else None, DEFAULT)

    @cached_property
    def effective(self) -> Effective:
        """The configuration of file, environment and options. Raises `ConfigError`."""
        from kmstwist.configuration import environment
        from kmstwist.configuration.mistakes import ConfigError
        from kmstwist.configuration.reading import Override, load
        from kmstwist.problem import Problem
        from kmstwist.system.rights import acting_as_caller

        if not self.may_read:
            raise ConfigError(
                [Problem("cannot be read by this user", "run the command with sudo", str(self.config.value))]
            )
        given = [
            Override(place, value if place == _PORT else str(value), f"{_OPTIONS[place]}={value}")
            for place, value in self._given.items()
            if value is not None and place != _STORE
        ]
        # Read with the caller's rights, even while the command acts as another user.
        with acting_as_caller():
            return load(self.config.value, [*environment.overrides(self._environ), *given])

    def without_file(self) -> Whereabouts:
        """The same without the configuration file, which this user may not read."""
        return Whereabouts(
            port=self._given[_PORT],
            state_dir=self._given[_STATE_DIR],
            environ={**self._environ, CONFIG_VARIABLE: ""},
        )

    @property
    def may_read(self) -> bool:
        """Whether this user may read the configuration file, if there is one."""
        file = self.config.value
        return file is None or not _is_there(file) or os.access(file, os.R_OK)

    @property
    def port(self) -> Found[int]:
        """The server's port: the first that it listens on."""
        if self._listens_as_told:
            from kmstwist.configuration.derived import first_port

            listened = first_port(self.effective.config)
            if listened is not None:
                return Found(listened, self._listen_origin)
        return self._find(_PORT) or Found(DEFAULT_PORT, DEFAULT)

    @property
    def name(self) -> Found[str]:
        """The name of the server's control socket: its port, if it has one."""
        if self._listens_as_told:
            from kmstwist.configuration.derived import unix_name

            told = unix_name(self.effective.config)
            if told is not None:
                return Found(told, self._listen_origin)
        return Found(str(self.port.value), self.port.origin)

    @property
    def _listens_as_told(self) -> bool:
        """Whether the configuration says where the server listens, and no option overrides it."""
        return self._given[_PORT] is None and self._asks_configuration() and bool(self.effective.config.server.listen)

    @property
    def _listen_origin(self) -> str:
        return self.effective.origins.get(_LISTEN, DEFAULT)

    @property
    def state_dir(self) -> Found[Path]:
        """The state folder."""
        from kmstwist.lab.keys import default_state_dir

        found = self._find(_STATE_DIR)
        if found is not None:
            return Found(Path(found.value), found.origin)
        file = self.config.value
        if file is not None and file.parent == self._installed.parent:
            return Found(installed_state_dir(file), f"{DEFAULT} of {file}")
        # The user who called, even while the command acts as another one.
        return Found(default_state_dir(self._environ, os.getuid()), DEFAULT)

    @property
    def run_dir(self) -> Found[Path]:
        """The folder of the control socket."""
        found = self._find(_RUN_DIR)
        if found is not None:
            return Found(Path(found.value), found.origin)
        return self.state_dir

    @property
    def store(self) -> Found[str]:
        """The audit's store, a path or a URL.

        If nothing says whether a gateway or a lab runs, it is the gateway's, or a lab's if only that exists.
        """
        from kmstwist.audit.plain.defaults import LAB_STORE_FILE_NAME, STORE_FILE_NAME

        if self._given[_STORE] is None and (named := self._environ.get(STORE_VARIABLE)):
            return Found(named, STORE_VARIABLE)
        found = self._find(_STORE)
        if found is not None:
            return Found(str(found.value), found.origin)
        folder = self.state_dir
        gateway, lab = folder.value / STORE_FILE_NAME, folder.value / LAB_STORE_FILE_NAME
        only_lab = not self._is_gateway() and _is_there(lab) and not _is_there(gateway)
        return Found(str(lab if only_lab else gateway), folder.origin)

    def _is_gateway(self) -> bool:
        return self._asks_configuration() and self.effective.config.gateway.configured

    def _find(self, place: Place) -> Found[Any] | None:
        """The value that an option, the environment or the file gives for a place; None if none of them does."""
        if (given := self._given[place]) is not None:
            return Found(given, _OPTIONS[place])
        if not self._asks_configuration():
            return None
        section, key = place
        value = getattr(getattr(self.effective.config, section), key)
        origin = self.effective.origins.get(place)
        return None if origin is None or value is None else Found(value, origin)

    def _asks_configuration(self) -> bool:
        """Whether a file or the environment sets anything; reading them takes most of a short command's time."""
        return self.config.value is not None or any(
            name.startswith("KMSTWIST_") and "__" in name for name in self._environ
        )


def installed_state_dir(file: Path) -> Path:
    """Where an installed service with this configuration keeps its state: each instance in a folder of its own.

    The units and the init script follow the same rule.
    """
    name = file.stem if file.stem.startswith("kmstwist") else f"kmstwist-{file.stem}"
    return Path("/var/lib") / name


def _is_there(path: Path) -> bool:
    """Whether there is such a file; True if this user may not look."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except OSError:
        return False
