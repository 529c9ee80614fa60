"""Reading PROXY headers: in any pieces, and whatever a balancer sends."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.conversation.proxy import BrokenHeader, HeaderReader

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
PORTS = st.integers(0, 65535)


def v2(command: int, family: int, body: bytes) -> bytes:
    return V2 + struct.pack(">BBH", command, family, len(body)) + body


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, tuple[str, int]]:
    """A header of either version, with the client that it names."""
    kinds: list[type[IPv4Address] | type[IPv6Address]] = [IPv4Address, IPv6Address]
    kind = draw(st.sampled_from(kinds))
    bits = 32 if kind is IPv4Address else 128
    source, to = (kind(draw(st.integers(0, 2**bits - 1))) for _ in range(2))
    port, to_port = draw(PORTS), draw(PORTS)
    plain = getattr(source, "ipv4_mapped", None) or source
    if draw(st.booleans()):
        line = f"PROXY TCP{source.version} {source} {to} {port} {to_port}\r\n"
        return line.encode(), (str(plain), port)
    extra = draw(st.binary(max_size=40))
    body = source.packed + to.packed + struct.pack(">HH", port, to_port) + extra
    return v2(0x21, 0x11 if bits == 32 else 0x21, body), (str(plain), port)


@given(headers(), st.binary(max_size=50), st.lists(st.integers(0, 200), max_size=4))
def test_a_header_names_its_client_in_whatever_pieces_it_comes(
    header: tuple[bytes, tuple[str, int]], rest: bytes, cuts: list[int]
) -> None:
    data = header[0] + rest
    reader = HeaderReader()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    left = b""
    whole = False
    for begin, end in pairwise(edges):
        if whole:
            left += data[begin:end]
        else:
            whole = reader.feed(data[begin:end])
    assert whole
    assert (reader.client, reader.rest + left) == (header[1], rest)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_raise_the_reader_s_own_error(data: bytes) -> None:
    for start in (b"", b"PROXY ", V2, V2 + b"\x21"):
        try:
            HeaderReader().feed(start + data)
        except BrokenHeader:
            continue


@pytest.mark.parametrize(
    "header",
    [
        v2(0x11, 0x11, bytes(12)),
        v2(0x22, 0x11, bytes(12)),
        v2(0x21, 0x13, bytes(12)),
        v2(0x21, 0x41, bytes(12)),
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(35)),
        v2(0x21, 0x31, bytes(215)),
        b"PROXY TCP4 " + b"1" * 100,
    ],
)
def test_a_header_with_values_unknown_to_the_protocol_is_broken(header: bytes) -> None:
    with pytest.raises(BrokenHeader):
        HeaderReader().feed(header)


@pytest.mark.parametrize(
    "header", [v2(0x20, 0, b""), v2(0x20, 0x11, bytes(12)), v2(0x21, 0, b""), v2(0x21, 0x31, bytes(216))]
)
def test_a_header_may_name_nobody(header: bytes) -> None:
    reader = HeaderReader()
    assert (reader.feed(header + b"x"), reader.client, reader.rest) == (True, None, b"x")


def test_a_header_that_announces_more_bytes_than_have_come_is_waited_for() -> None:
    reader = HeaderReader()
    assert not reader.feed(V2 + b"\x21\x11\xff\xff" + bytes(1000))
