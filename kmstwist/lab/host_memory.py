"""What a lab host remembers: the clients that count, its counters, and the events it has yet to log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from kmstwist.kms.messages import LicenseStatus, Request


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A counted client: when it last asked (Unix seconds), its machine's name, its N-Policy."""

    cmid: UUID
    last_seen: float
    machine_name: str
    required_count: int


@dataclass(slots=True)
class Counters:
    """What `slmgr /dlv` shows of a KMS host: requests in all, those refused, the readable ones by licence status."""

    total: int = 0
    failed: int = 0
    by_status: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LicenseStatus, 0))

    def copy(self) -> Counters:
        """An independent copy."""
        return replace(self, by_status=dict(self.by_status))


@dataclass(frozen=True, slots=True)
class HostEvent:
    """A request that was processed (event 12290): when (Unix seconds), with what HRESULT, and the request."""

    at: float
    hresult: int
    request: Request


@dataclass(frozen=True, slots=True)
class ApplicationMemory:
    """The clients of one application, the one that asked longest ago first, and the largest N-Policy asked for."""

    largest_required: int
    clients: tuple[ClientRecord, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """A host's state, or its changes: whole applications, and the counters; `events` are the new ones."""

    applications: dict[UUID, ApplicationMemory] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    events: tuple[HostEvent, ...] = ()
