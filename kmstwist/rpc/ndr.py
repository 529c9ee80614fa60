"""The part of NDR that RequestActivation and the management interface need (C706 14; [MS-RPCE] 2.2.5 for NDR64).

A reader and a writer over one buffer. The two transfer syntaxes differ in one thing here: counts and pointers have 4
bytes in NDR32 and 8 in NDR64, aligned to their size. Primitive integers have the same size in both. The reader follows
the client's byte order; the writer is little-endian, since it is the receiver who converts (C706 14.1).
"""

from __future__ import annotations

from kmstwist.reasons import Reason


class StubError(Exception):
    """Stub data that cannot be unmarshalled: the answer is a fault with RPC_X_BAD_STUB_DATA."""

    reason = Reason.RPC_BAD_STUB


class StubReader:
    """Reads a stub from its beginning. Every method raises `StubError` if the stub ends too soon."""

    __slots__ = ("_offset", "_order", "_stub", "_wide")

    def __init__(self, stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> None:
        self._stub = stub
        self._offset = 0
        self._wide = 8 if ndr64 else 4
        self._order: str = "little" if little_endian else "big"

    def _integer(self, size: int) -> int:
        start = -(-self._offset // size) * size
        end = start + size
        if end > len(self._stub):
            raise StubError(f"the stub of {len(self._stub)} bytes ends before offset {end}")
        self._offset = end
        return int.from_bytes(self._stub[start:end], self._order)  # type: ignore[arg-type]

    def u16(self) -> int:
        """A 16-bit integer, aligned to 2."""
        return self._integer(2)

    def u32(self) -> int:
        """A 32-bit integer, aligned to 4."""
        return self._integer(4)

    def count(self) -> int:
        """A conformance or variance count: 4 bytes in NDR32, 8 in NDR64."""
        return self._integer(self._wide)

    def pointer(self) -> int:
        """A pointer's referent id; 0 is a null pointer."""
        return self._integer(self._wide)

    def raw(self, size: int) -> bytes:
        """The next `size` bytes, unaligned."""
        end = self._offset + size
        if end > len(self._stub):
            raise StubError(f"the stub of {len(self._stub)} bytes ends before offset {end}")
        data = self._stub[self._offset : end]
        self._offset = end
        return data

    @property
    def remaining(self) -> int:
        """How many bytes have not been read."""
        return len(self._stub) - self._offset


class StubWriter:
    """Builds a stub, little-endian."""

    __slots__ = ("_data", "_wide")

    def __init__(self, *, ndr64: bool = False) -> None:
        self._data = bytearray()
        self._wide = 8 if ndr64 else 4

    def _integer(self, value: int, size: int) -> StubWriter:
        self.align(size)
        self._data += value.to_bytes(size, "little")
        return self

    def align(self, size: int) -> StubWriter:
        """Pad with zeros to a multiple of `size`."""
        self._data += bytes(-len(self._data) % size)
        return self

    def u16(self, value: int) -> StubWriter:
        """A 16-bit integer, aligned to 2."""
        return self._integer(value, 2)

    def u32(self, value: int) -> StubWriter:
        """A 32-bit integer, aligned to 4."""
        return self._integer(value, 4)

    def count(self, value: int) -> StubWriter:
        """A conformance or variance count: 4 bytes in NDR32, 8 in NDR64."""
        return self._integer(value, self._wide)

    def pointer(self, referent: int) -> StubWriter:
        """A pointer's referent id, non-zero unless the pointer is null."""
        return self._integer(referent, self._wide)

    def raw(self, data: bytes) -> StubWriter:
        """Bytes as they are, unaligned."""
        self._data += data
        return self

    def finish(self) -> bytes:
        """The stub."""
        return bytes(self._data)
