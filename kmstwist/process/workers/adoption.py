"""What a supervisor hands to a worker: its number, the open ports, the configuration in force."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict

from kmstwist.configuration.model import Config


class Adoption(BaseModel):
    """A worker's start. `ports` are the descriptors of listening sockets, `of` is how many workers there are.

    `config` is the descriptor of the configuration in force. By now the file may hold a configuration that is refused
    or needs a restart, and all workers must do the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    worker: int
    of: int
    ports: tuple[int, ...]
    config: int | None = None

    def environment(self) -> dict[str, str]:
        """The environment to start the worker in."""
        return {**os.environ, _VARIABLE: self.model_dump_json()}

    @classmethod
    def inherited(cls) -> Adoption | None:
        """What this process was handed; None if no supervisor started it."""
        text = os.environ.get(_VARIABLE)
        return None if text is None else cls.model_validate_json(text)

    def read_config(self) -> Config | None:
        """The configuration that was handed over, if any. Only once: this closes the descriptor."""
        if self.config is None:
            return None
        with os.fdopen(self.config, "rb") as file:
            file.seek(0)
            return Config.model_validate_json(file.read())


@contextmanager
def handed_on(config: Config) -> Iterator[int]:
    """A descriptor to read the configuration from, for `Adoption.config`; open while a worker is started.

    It is in memory and not in the environment: lists of networks may be long, and a URL may hold a password.
    """
    with os.fdopen(os.memfd_create("kmstwist-configuration"), "wb") as file:
        # Without the defaults, some of which apply only if nothing is set.
        file.write(config.model_dump_json(exclude_unset=True).encode())
        file.flush()
        yield file.fileno()


_VARIABLE = "KMSTWIST_WORKER"
