"""Association groups: the connections of one client process that belong together (C706 12.6.4.3,
assoc_group_id; [MS-RPCE] 3.3.1.5.7 says association for it).

A bind with group id 0 makes a group, one with a known id joins it, and a group is gone with its last connection. No
context handle or other state is shared here (KMS has none), so a group is its count of connections.
"""

from __future__ import annotations

from typing import Final

_HIGHEST_ID: Final = 0xFFFFFFFF


class AssociationGroups:
    """The groups of one server. Memory is bounded by the number of open connections."""

    def __init__(self, first_id: int = 0x1000) -> None:
        """`first_id` (non-zero) is the id the first group gets; a server takes a random one so that ids of before a
        restart are not taken for its own."""
        self._next = first_id & _HIGHEST_ID or 1
        self._connections: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def join(self, group: int) -> int | None:
        """The id of the group a connection now belongs to, or None where `group` is not known (and not 0)."""
        connections = self._connections
        if group == 0:
            group = self._next
            while group in connections:
                group = group % _HIGHEST_ID + 1
            self._next = group % _HIGHEST_ID + 1
            connections[group] = 1
            return group
        if group not in connections:
            return None
        connections[group] += 1
        return group

    def leave(self, group: int) -> None:
        """One of the group's connections has ended."""
        left = self._connections[group] - 1
        if left:
            self._connections[group] = left
        else:
            del self._connections[group]
