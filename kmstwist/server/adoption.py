"""What a supervisor hands to a worker: its number and the open ports."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict


class Adoption(BaseModel):
    """A worker's start. `ports` are the descriptors of listening sockets, `of` is how many workers there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: int
    of: int
    ports: tuple[int, ...]

    def environment(self) -> dict[str, str]:
        """The environment to start the worker in."""
        return {**os.environ, _VARIABLE: self.model_dump_json()}

    @classmethod
    def inherited(cls) -> Adoption | None:
        """What this process was handed; None in one that no supervisor started."""
        text = os.environ.get(_VARIABLE)
        return None if text is None else cls.model_validate_json(text)


_VARIABLE = "KMSTWIST_WORKER"
