"""The interfaces a server offers, found by what a client asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kmstwist.rpc.syntax import SyntaxId


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface a server offers: its identifier and the number of its operations (opnums 0 to `operations` - 1)."""

    syntax: SyntaxId
    operations: int


class InterfaceTable:
    """The interfaces of a server by identifier; a client's minor version may be lower than ours (C706 chapter 6)."""

    def __init__(self, interfaces: tuple[Interface, ...]) -> None:
        self.interfaces = interfaces
        self._exact: Mapping[bytes, Interface] = {i.syntax.wire: i for i in interfaces}
        self._by_major: Mapping[bytes, Interface] = {i.syntax.wire[:18]: i for i in interfaces}

    def find(self, syntax: SyntaxId) -> Interface | None:
        """The interface that serves clients of `syntax`, or None."""
        found = self._exact.get(syntax.wire)
        if found is not None:
            return found
        found = self._by_major.get(syntax.wire[:18])
        if found is None or syntax.minor > found.syntax.minor:
            return None
        return found
