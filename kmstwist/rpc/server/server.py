"""What all associations of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kmstwist.rpc import mgmt
from kmstwist.rpc.interfaces import Interface, InterfaceTable
from kmstwist.rpc.server.behaviour import NEWEST_WINDOWS, WindowsVersion
from kmstwist.rpc.server.groups import AssociationGroups
from kmstwist.rpc.server.inputs import KnownBind


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server; all sizes are in bytes.

    `max_request` limits the stub of one request in fragments (4 MiB is the limit of Windows and Samba),
    `max_reassembly` the stubs of all connections together, `max_calls` the calls under way on one multiplexed
    connection.
    """

    max_request: int = 0x400000
    max_reassembly: int = 64 * 1024 * 1024
    max_calls: int = 32


@dataclass(slots=True)
class RpcServer:
    """What the associations of one server share: its interfaces, limits, groups and counters."""

    interfaces: tuple[Interface, ...]
    limits: Limits = field(default_factory=Limits)
    #: Which version of Windows the server behaves like, where versions differ.
    windows: WindowsVersion = NEWEST_WINDOWS
    groups: AssociationGroups = field(default_factory=AssociationGroups)
    statistics: mgmt.Statistics = field(default_factory=mgmt.Statistics)
    #: Whether calls are served at present, for those who ask the management interface.
    listening: Callable[[], bool] = lambda: True
    #: Stub bytes held for requests of which fragments are missing, over all connections.
    reassembling: int = 0
    table: InterfaceTable = field(init=False)
    #: Binds that were acknowledged, by the port and their bytes without the call id.
    known_binds: dict[bytes, KnownBind] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.interfaces = (*self.interfaces, mgmt.MANAGEMENT)
        self.table = InterfaceTable(self.interfaces)
