"""The PROXY protocol, versions 1 and 2, from the load balancers that the configuration names and from nobody else.

A header says for which client a balancer has connected. It is read only from balancers: anybody else could use it to
claim any address. Section numbers are those of HAProxy's specification, "The PROXY protocol, versions 1 & 2".
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kmstwist.addresses import is_address, plain_address

#: How a header of either version begins (2.1 and 2.2).
_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
#: The longest header of version 1, its line end included (2.1).
_V1_LONGEST: Final = 107
_V2_HEAD: Final = struct.Struct(">12sBBH")
#: The commands of version 2: the balancer's own check, and a client's connection.
_LOCAL, _PROXY = 0x20, 0x21
#: The layout of the addresses in a header of version 2, by their family; 0 is "unspecified", 3 a Unix socket.
_FAMILIES: Final = {1: (IPv4Address, struct.Struct(">4s4sHH")), 2: (IPv6Address, struct.Struct(">16s16sHH"))}
_UNSPECIFIED, _UNIX = 0, 3
_UNIX_SIZE: Final = 216
#: Unspecified, stream, datagram.
_TRANSPORTS: Final = range(3)


def begins_as_header(data: bytes) -> bool:
    """Whether a connection's first bytes are a PROXY header's."""
    return data.startswith((_V1, _V2))


class BrokenHeader(Exception):
    """The first bytes from a balancer are not a PROXY header."""

    def __init__(self) -> None:
        super().__init__("no PROXY header, or a broken one")


class HeaderReader:
    """Reads a header, in however many pieces it arrives.

    Once `feed` has returned True, `client` is the address and the port in the header, or None if it has none (the
    balancer's own check, or a client whose address it cannot express), and `rest` is the bytes after the header.
    """

    __slots__ = ("_data", "client", "rest")

    def __init__(self) -> None:
        self._data = b""
        self.client: tuple[str, int] | None = None
        self.rest = b""

    def feed(self, data: bytes) -> bool:
        """Take bytes. Returns whether the header is whole. Raises `BrokenHeader`."""
        data = self._data = self._data + data
        if _begins(data, _V1):
            end = data.find(b"\r\n", 0, _V1_LONGEST)
            if end >= 0:
                self.client = _read_v1(data[:end])
                self.rest = data[end + 2 :]
                return True
            if len(data) >= _V1_LONGEST:
                raise BrokenHeader
        elif not _begins(data, _V2):
            raise BrokenHeader
        elif len(data) >= _V2_HEAD.size:
            _, command, family, size = _V2_HEAD.unpack_from(data)
            end = _V2_HEAD.size + size
            if len(data) >= end:
                self.client = _read_v2(command, family, data[_V2_HEAD.size : end])
                self.rest = data[end:]
                return True
        return False


def _begins(data: bytes, start: bytes) -> bool:
    """Whether the bytes that have arrived agree with the beginning `start`."""
    return data[: len(start)] == start[: len(data)]


def _read_v1(line: bytes) -> tuple[str, int] | None:
    parts = line.decode("ascii", "replace").split(" ")
    if parts[:2] == ["PROXY", "UNKNOWN"]:
        # What follows up to the line's end is to be ignored (2.1).
        return None
    if len(parts) != 6 or not all(map(_is_port, parts[4:])):
        raise BrokenHeader
    family = {"TCP4": IPv4Address, "TCP6": IPv6Address}.get(parts[1])
    if family is None or not all(is_address(text, family) and "%" not in text for text in parts[2:4]):
        raise BrokenHeader
    return plain_address(parts[2]), int(parts[4])


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _read_v2(command: int, family: int, body: bytes) -> tuple[str, int] | None:
    if command not in (_LOCAL, _PROXY) or family & 0xF not in _TRANSPORTS:
        raise BrokenHeader
    family >>= 4
    if command == _LOCAL:
        # The balancer's own connection: whatever addresses follow are to be ignored (2.2).
        return None
    if family in _FAMILIES:
        kind, layout = _FAMILIES[family]
        if len(body) < layout.size:
            raise BrokenHeader
        source, _, port, _ = layout.unpack_from(body)
        return plain_address(str(kind(source))), port
    if family == _UNSPECIFIED or (family == _UNIX and len(body) >= _UNIX_SIZE):
        return None
    raise BrokenHeader
