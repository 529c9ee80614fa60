"""What a supervisor hands to a worker: its number, the open ports, the configuration in force."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict

from kmstwist.configuration.model import Config


class Adoption(BaseModel):
    """A worker's start. `ports` are the descriptors of listening sockets, `of` is how many workers there are.

    `config` is the descriptor of the configuration in force: what the file holds by now may be refused, or need a
    restart, and what one worker does the others must do.
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
        """What this process was handed; None in one that no supervisor started."""
        text = os.environ.get(_VARIABLE)
        return None if text is None else cls.model_validate_json(text)

    def read_config(self) -> Config | None:
        """The configuration that was handed on; None where none was. Once only: the descriptor is closed then."""
        if self.config is None:
            return None
        with os.fdopen(self.config, "rb") as file:
            file.seek(0)
            return Config.model_validate_json(file.read())


@contextmanager
def handed_on(config: Config) -> Iterator[int]:
    """A descriptor to read the configuration from, for `Adoption.config`; open while a worker is started.

    In memory and not in the environment: lists of networks may be long, and a URL may hold a password.
    """
    with os.fdopen(os.memfd_create("kmstwist-configuration"), "wb") as file:
        # Without the defaults, of which some hold only where nothing was said.
        file.write(config.model_dump_json(exclude_unset=True).encode())
        file.flush()
        yield file.fileno()


_VARIABLE = "KMSTWIST_WORKER"
