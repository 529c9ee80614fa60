"""Stubs in fragments, for both sides: how long a fragment may be, cutting a stub, and joining one (C706 12.6.3.1).

A stub that fits goes in one PDU with both flags set. A longer one is cut: the first fragment has the first flag, the
last fragment the last flag, and each fragment's alloc_hint is how many bytes are left from its beginning on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from kmstwist.rpc.pdu import FIRST_FRAG, LAST_FRAG, MAX_FRAGMENT, WHOLE, Request, Response

FragmentT = TypeVar("FragmentT", Request, Response)

#: Fragment sizes, in bytes. C706 forbids asking for less than its MustRecvFragSize; Windows never goes below 2048,
#: offers 5840, and rounds down to a multiple of 8 (observed: Samba's `raw_protocol` suite records Windows' answers).
MIN_FRAGMENT: Final = 2048
#: `_FEW` fragments may have any size. Each fragment beyond them must come with `_SMALL` bytes of the stub: a quarter of
#: the smallest size that a side can ask for.
_FEW: Final = 1024
_SMALL: Final = MIN_FRAGMENT // 4


def fragment_size(client_xmit: int, client_recv: int) -> int:
    """The fragment size, in bytes, that both directions use after a bind that offered these two sizes."""
    return max(MIN_FRAGMENT, min(client_xmit, client_recv, MAX_FRAGMENT) & ~7)


def cut(stub: bytes, room: int) -> Iterable[tuple[bytes, int, int]]:
    """The pieces of a stub, each of at most `room` bytes: the bytes, the fragment flags and the alloc_hint of each."""
    size = len(stub)
    return ((stub, WHOLE, size),) if size <= room else _pieces(stub, size, room)


def _pieces(stub: bytes, size: int, room: int) -> Iterator[tuple[bytes, int, int]]:
    for start in range(0, size, room):
        flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= size else 0)
        yield stub[start : start + room], flags, size - start


class PartialStub(Generic[FragmentT]):
    """A stub of which fragments are missing; `first` is the fragment that began it.

    It is one buffer, not a list of pieces: a peer that sends one byte in each fragment must not cost an object for each
    byte. The owner limits its size.
    """

    __slots__ = ("first", "fragments", "stub")

    def __init__(self, first: FragmentT) -> None:
        self.first: FragmentT = first
        self.fragments = 1
        self.stub = bytearray(first.stub)

    @property
    def is_crumbled(self) -> bool:
        """Whether there are far more fragments than the bytes need, which only an attacker sends."""
        return self.fragments > _FEW + len(self.stub) // _SMALL

    def add(self, fragment: FragmentT) -> int:
        """Append a further fragment's bytes. Returns how many bytes there are now."""
        self.fragments += 1
        self.stub += fragment.stub
        return len(self.stub)
