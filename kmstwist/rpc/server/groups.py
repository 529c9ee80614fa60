"""Association groups: the connections of one client process that belong together (C706 12.6.4.3, assoc_group_id).

[MS-RPCE] 3.3.1.5.7 calls a group an association. A bind with group id 0 makes a group; a bind with a known id joins
that group if it comes from the same machine; a group ends with its last connection. KMS shares no context handle or
other state in a group, so a group is only its machine and its number of connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_HIGHEST_ID: Final = 0xFFFFFFFF


@dataclass(slots=True)
class Group:
    """The client's address, as text, and how many of its connections belong to the group."""

    client: str
    connections: int = 1


class AssociationGroups(dict[int, Group]):
    """The groups of one server, by their ids: never more than there are open connections.

    A group whose last connection ends may be deleted as from any dictionary.
    """

    __slots__ = ("_next",)

    def __init__(self, first_id: int = 0x1000) -> None:
        """`first_id` (non-zero) is the id of the first group. A server takes a random one, so that it does not mistake
        an id from before its restart for one of its own."""
        super().__init__()
        self._next = first_id & _HIGHEST_ID or 1

    def may_join(self, group: int, client: str = "") -> bool:
        """Whether a connection from `client` may belong to this group.

        It may not if the group is not 0 and is either unknown or belongs to another machine, which over TCP is
        recognised by its address ([MS-RPCE] 3.3.1.5.7).
        """
        if group == 0:
            return True
        known = self.get(group)
        return known is not None and known.client == client

    def join(self, group: int, client: str = "") -> int | None:
        """The id of the group that a connection from `client` now belongs to; None if it may not join."""
        if group == 0:
            group = self._next
            while group in self:
                group = group % _HIGHEST_ID + 1
            self._next = group % _HIGHEST_ID + 1
            self[group] = Group(client)
            return group
        if not self.may_join(group, client):
            return None
        self[group].connections += 1
        return group

    def leave(self, group: int) -> None:
        """One of the group's connections has ended."""
        left = self[group]
        left.connections -= 1
        if not left.connections:
            del self[group]
