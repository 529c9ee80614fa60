"""The remote management interface that every RPC server answers (C706 appendix Q, `mgmt` v1.0).

Monitoring programs use it to ask whether a server listens and which interfaces it has. Its five operations are answered
here from the server's own table and counters. `stop_server_listening` is refused, as Windows does by default, and no
principal name is returned, since an anonymous server has none registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from kmstwist.rpc.interfaces import Interface
from kmstwist.rpc.ndr import StubError, StubReader, StubWriter
from kmstwist.rpc.syntax import MGMT_INTERFACE

INQ_IF_IDS: Final = 0
INQ_STATS: Final = 1
IS_SERVER_LISTENING: Final = 2
STOP_SERVER_LISTENING: Final = 3
INQ_PRINC_NAME: Final = 4

#: The management interface as servers offer it.
MANAGEMENT: Final = Interface(MGMT_INTERFACE, operations=5)

#: Win32 codes in the `status` parameter ([MS-ERREF] 2.2).
STATUS_OK: Final = 0
STATUS_ACCESS_DENIED: Final = 5
STATUS_UNKNOWN_AUTHN_SERVICE: Final = 1747

_REFERENT: Final = 0x00020000
_UUID_INTEGERS: Final = Struct("<IHH")
_VERSIONS: Final = Struct("<HH")
#: The caller chooses the size of the buffer for a principal name; more characters than this make no sense.
_MAX_NAME_SIZE: Final = 0x10000


@dataclass(slots=True)
class Statistics:
    """What inq_stats returns, in the order of C706 (rpc_c_stats_calls_in to rpc_c_stats_pkts_out)."""

    calls_in: int = 0
    calls_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def as_tuple(self) -> tuple[int, int, int, int]:
        """The four counters, each reduced to the 32 bits that it has on the wire."""
        values = (self.calls_in, self.calls_out, self.packets_in, self.packets_out)
        return tuple(v & 0xFFFFFFFF for v in values)  # type: ignore[return-value]


def answer(
    opnum: int,
    stub: bytes,
    interfaces: tuple[Interface, ...],
    statistics: Statistics,
    *,
    listening: bool = True,
    ndr64: bool = False,
    little_endian: bool = True,
) -> bytes:
    """The response stub of management operation `opnum` (0 to 4). Raises `StubError` if the request's stub is bad.

    `listening` is whether calls of the other interfaces are served at present.
    """
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    writer = StubWriter(ndr64=ndr64)
    if opnum == INQ_IF_IDS:
        _write_interface_ids(writer, interfaces)
    elif opnum == INQ_STATS:
        wanted = min(reader.u32(), 4)
        writer.u32(wanted).count(wanted)
        for value in statistics.as_tuple()[:wanted]:
            writer.u32(value)
        writer.u32(STATUS_OK)
    elif opnum == IS_SERVER_LISTENING:
        writer.u32(STATUS_OK).u32(int(listening))
    elif opnum == STOP_SERVER_LISTENING:
        writer.u32(STATUS_ACCESS_DENIED)
    else:
        reader.u32()
        size = reader.u32()
        if size > _MAX_NAME_SIZE:
            raise StubError(f"a principal name buffer of {size} bytes")
        name = b"\0"[:size]
        writer.count(size).count(0).count(len(name)).raw(name).u32(STATUS_UNKNOWN_AUTHN_SERVICE)
    return writer.finish()


def _write_interface_ids(writer: StubWriter, interfaces: tuple[Interface, ...]) -> None:
    """rpc_if_id_vector_t: a conformant array of unique pointers to rpc_if_id_t, then the status.

    The management interface itself is left out: the DCE reference code marks it as internal.
    """
    interfaces = tuple(interface for interface in interfaces if interface is not MANAGEMENT)
    count = len(interfaces)
    writer.pointer(_REFERENT).count(count).u32(count)
    for index in range(count):
        writer.pointer(_REFERENT + 4 * (index + 1))
    for interface in interfaces:
        writer.align(4).raw(interface.syntax.wire)
    writer.u32(STATUS_OK)


def decode_interface_ids(stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> tuple[list[bytes], int]:
    """A server's answer to inq_if_ids: the interfaces' 20-byte identifiers and the status. Raises `StubError`."""
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    identifiers: list[bytes] = []
    if reader.pointer():
        count = reader.count()
        if reader.u32() != count or count > 0x1000:
            raise StubError(f"an interface vector of {count} elements")
        present = [reader.pointer() != 0 for _ in range(count)]
        identifiers = [_read_interface_id(reader) for there in present if there]
    return identifiers, reader.u32()


def _read_interface_id(reader: StubReader) -> bytes:
    """An rpc_if_id_t in its little-endian form; unlike a bind's p_syntax_id_t it has two versions of 16 bits."""
    uuid = _UUID_INTEGERS.pack(reader.u32(), reader.u16(), reader.u16()) + reader.raw(8)
    return uuid + _VERSIONS.pack(reader.u16(), reader.u16())


def decode_listening(stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> bool:
    """A server's answer to is_server_listening. Raises `StubError`."""
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    status = reader.u32()
    return status == STATUS_OK and reader.u32() != 0
