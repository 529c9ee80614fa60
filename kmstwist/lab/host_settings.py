"""A lab host's settings and events, apart from the file that keeps them."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "host"
"""The reserved name of the lab host among the lab machines."""
DEFAULT_ACTIVATION_INTERVAL = 120
"""Minutes after which a client that is not activated asks again."""
DEFAULT_RENEWAL_INTERVAL = 10_080
"""Minutes (7 days) after which an activated client renews."""
MIN_INTERVAL = 15
MAX_INTERVAL = 43_200
"""Minutes (30 days): both intervals' limits are those of `slmgr /sai` and `/sri`."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What an administrator sets at a KMS host with slmgr: intervals in minutes, TCP port, and two choices for DNS.

    `publishes` is whether it publishes its SRV record (`/sdns`), `low_priority` whether it yields to other work
    (`/cpri`). None means not set: the default applies.
    """

    activation_interval: int | None = None
    renewal_interval: int | None = None
    port: int | None = None
    publishes: bool | None = None
    low_priority: bool | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A stored event 12290: its number in the log, its time (Unix seconds), and the line of its fields."""

    record_id: int
    at: float
    info: str
