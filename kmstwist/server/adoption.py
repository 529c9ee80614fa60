"""What a supervisor hands to a worker: its number, the open ports, and what the administrator switched by hand."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Adoption(BaseModel):
    """A worker's start. `ports` are the descriptors of listening sockets, `of` is how many workers there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: int
    of: int
    ports: tuple[int, ...]
    paused: bool = False
    drained: tuple[str, ...] = ()
