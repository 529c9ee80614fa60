"""Stubs in fragments, for both sides: how long a fragment may be, cutting a stub, and joining one (C706 12.6.3.1).

A stub that fits goes in one PDU with both flags set. A longer one is cut: the first flag on the first fragment, the
last flag on the last, and alloc_hint what is left from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from kmstwist.rpc.pdu import FIRST_FRAG, LAST_FRAG, MAX_FRAGMENT, WHOLE, Request, Response

FragmentT = TypeVar("FragmentT", Request, Response)

#: C706 lets no side ask for less than its MustRecvFragSize; Windows never goes below 2048, offers 5840, and rounds down
#: to a multiple of 8 (observed: Samba's `raw_protocol` suite holds Windows' answers).
MIN_FRAGMENT: Final = 2048
#: So many fragments may be of any size; beyond them there is one for so many bytes, a quarter of the least that any
#: side can be made to send.
_FEW: Final = 1024
_SMALL: Final = MIN_FRAGMENT // 4


def fragment_size(client_xmit: int, client_recv: int) -> int:
    """The fragment size, in bytes, that both directions use after a bind that offered these two."""
    return max(MIN_FRAGMENT, min(client_xmit, client_recv, MAX_FRAGMENT) & ~7)


def cut(stub: bytes, room: int) -> Iterable[tuple[bytes, int, int]]:
    """The pieces of a stub, each of at most `room` bytes: the piece, its fragment flags, its alloc_hint."""
    size = len(stub)
    return ((stub, WHOLE, size),) if size <= room else _pieces(stub, size, room)


def _pieces(stub: bytes, size: int, room: int) -> Iterator[tuple[bytes, int, int]]:
    for start in range(0, size, room):
        flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= size else 0)
        yield stub[start : start + room], flags, size - start


class PartialStub(Generic[FragmentT]):
    """A stub of which fragments are missing; `first` is the fragment that began it.

    One buffer, not a list of pieces: a peer that sends a byte a fragment must not cost an object a byte. Whoever owns
    it bounds it.
    """

    __slots__ = ("first", "fragments", "stub")

    def __init__(self, first: FragmentT) -> None:
        self.first: FragmentT = first
        self.fragments = 1
        self.stub = bytearray(first.stub)

    @property
    def is_crumbled(self) -> bool:
        """Whether there are far more fragments than its bytes need: work for nothing. Every side sends at least so many
        bytes in each that it need not stop, but for a few.
        """
        return self.fragments > _FEW + len(self.stub) // _SMALL

    def add(self, fragment: FragmentT) -> int:
        """Join a further fragment's bytes; how many there are now."""
        self.fragments += 1
        self.stub += fragment.stub
        return len(self.stub)
