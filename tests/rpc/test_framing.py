"""Cutting a stream into PDUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.reasons import Reason
from kmstwist.rpc import CoCancel, Pdu, PduError, Request, Shutdown, encode
from kmstwist.rpc.framing import FrameReader

from .strategies import pdus

MAX = 5840


def read_all(reader: FrameReader) -> list[Pdu]:
    found: list[Pdu] = []
    while (pdu := reader.next_pdu()) is not None:
        found.append(pdu)
    return found


@given(st.lists(pdus(), max_size=6), st.lists(st.integers(1, 200), max_size=30))
def test_pdus_come_out_as_they_went_in_however_the_stream_is_cut(sent: list[Pdu], cuts: list[int]) -> None:
    data = b"".join(encode(pdu) for pdu in sent)
    reader = FrameReader(0xFFFF)
    received: list[Pdu] = []
    for cut in [*cuts, len(data)]:
        reader.feed(data[:cut])
        data = data[cut:]
        received += read_all(reader)
    assert received == sent
    assert reader.pending == 0


def test_only_one_incomplete_fragment_is_held() -> None:
    data = encode(Shutdown(1)) * 100 + encode(Request(1, 0, 0, bytes(500)))[:-1]
    reader = FrameReader(MAX)
    reader.feed(data)
    assert len(read_all(reader)) == 100
    assert reader.pending == 523
    # It must not keep the read that it came in alive: a thousand idle connections would hold a thousand reads.
    assert len(reader.data) == 523


def test_a_length_out_of_bounds_is_recognised_by_the_header_alone() -> None:
    for length in (0, 15, MAX + 1, 0xFFFF):
        reader = FrameReader(MAX)
        data = encode(CoCancel(7))
        reader.feed(data[:8] + length.to_bytes(2, "little") + data[10:])
        with pytest.raises(PduError) as caught:
            reader.next_pdu()
        assert (caught.value.reason, caught.value.call_id) == (Reason.RPC_FRAGMENT_LENGTH, 7)


@pytest.mark.parametrize("minor", [0, 1])
def test_both_minor_versions_are_read(minor: int) -> None:
    reader = FrameReader(MAX)
    reader.feed(b"\5" + bytes([minor]) + encode(Shutdown(1))[2:])
    assert reader.next_pdu() == Shutdown(1)


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        (b"\5\2", Reason.RPC_VERSION),
        (b"\4\0", Reason.RPC_VERSION),
        (b"\6\0", Reason.RPC_VERSION),
        (b"GET / HTTP/1.1\r\n\r\n", Reason.RPC_NOT_RPC),
        (bytes.fromhex("160301020001"), Reason.RPC_NOT_RPC),
        (b"\4\0\xff", Reason.RPC_NOT_RPC),
        (b"\0\x1e\0\6", Reason.RPC_NOT_RPC),
    ],
)
def test_other_versions_differ_from_what_is_not_rpc(begin: bytes, reason: Reason) -> None:
    reader = FrameReader(MAX)
    reader.feed(begin + encode(Shutdown(1))[len(begin) :])
    with pytest.raises(PduError) as caught:
        reader.next_pdu()
    assert caught.value.reason is reason


def test_a_stopped_reader_holds_nothing_and_takes_nothing() -> None:
    reader = FrameReader(MAX)
    reader.feed(encode(Shutdown(1))[:10])
    reader.stop()
    reader.feed(encode(Shutdown(1)))
    assert reader.next_pdu() is None
    assert reader.pending == 0
