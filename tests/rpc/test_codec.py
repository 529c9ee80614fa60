"""PDUs to bytes and back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    Fault,
    OtherPdu,
    PacketType,
    Pdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    SyntaxId,
    decode,
    decode_header,
    encode,
    feature_syntax,
)
from kmstwist.rpc.client.core import whole_response
from kmstwist.rpc.server.core import whole_request
from kmstwist.rpc.syntax import swap_syntax
from tests.kinds import of_kind

from .peer import KMS_CONTEXT
from .strategies import pdus, syntaxes


@given(pdu=pdus())
def test_every_pdu_survives_the_way_there_and_back(pdu: Pdu) -> None:
    assert decode(encode(pdu)) == pdu


@given(pdu=pdus(little_endian=False))
def test_every_pdu_survives_the_way_there_and_back_in_big_endian(pdu: Pdu) -> None:
    assert decode(encode(pdu, little_endian=False)) == pdu


@given(pdu=pdus(), little_endian=st.booleans(), change=st.none() | st.tuples(st.integers(0, 30), st.integers(0, 255)))
def test_the_short_way_reads_what_the_long_way_reads(
    pdu: Pdu, little_endian: bool, change: tuple[int, int] | None
) -> None:
    data = bytearray(encode(pdu, little_endian=little_endian))
    if change is not None and change[0] < len(data):
        data[change[0]] = change[1]
    request, response = whole_request(bytes(data)), whole_response(bytes(data))
    if request is not None:
        assert decode(bytes(data)) == Request(*request)
    if response is not None:
        assert decode(bytes(data)) == Response(*response)


@given(call_id=st.integers(0, 0xFFFFFFFF), context_id=st.integers(0, 0xFFFF), stub=st.binary(max_size=400))
def test_the_short_way_takes_what_windows_sends(call_id: int, context_id: int, stub: bytes) -> None:
    request, response = Request(call_id, context_id, 0, stub, len(stub)), Response(call_id, context_id, stub, len(stub))
    assert whole_request(encode(request)) == (call_id, context_id, 0, stub, len(stub))
    assert whole_response(encode(response)) == (call_id, context_id, stub, len(stub))


@given(pdu=pdus(), little_endian=st.booleans())
def test_the_header_says_how_long_the_fragment_is_and_what_it_is(pdu: Pdu, little_endian: bool) -> None:
    data = encode(pdu, little_endian=little_endian)
    header = decode_header(data)
    assert header.frag_length == len(data)
    assert (header.version, header.minor) == (5, 0)
    assert header.call_id == pdu.call_id
    assert header.flags == pdu.flags
    assert header.little_endian is little_endian


@given(pdu=pdus().filter(lambda pdu: len(encode(pdu)) > 16), keep=st.integers(16, 400))
def test_a_fragment_cut_short_is_an_error_that_names_its_call(pdu: Pdu, keep: int) -> None:
    data = encode(pdu)
    with pytest.raises(PduError) as caught:
        decode(data[: min(keep, len(data) - 1)], decode_header(data))
    assert caught.value.call_id == pdu.call_id


@given(pdu=pdus(), length=st.integers(16, 400), little_endian=st.booleans())
def test_a_body_shorter_than_its_fields_is_an_error_or_a_shorter_stub(
    pdu: Pdu, length: int, little_endian: bool
) -> None:
    data = encode(pdu, little_endian=little_endian)[:length]
    data = data[:8] + struct.pack("<H" if little_endian else ">H", len(data)) + data[10:]
    try:
        shorter = decode(data)
    except PduError:
        with pytest.raises(PduError, match=r"shorter than its fields|verifier|padding"):
            decode(data)
    else:
        assert type(shorter) is type(pdu)


@pytest.mark.parametrize("little_endian", [True, False])
def test_character_and_float_representations_change_nothing(little_endian: bool) -> None:
    # C706 14.1: the low half of the first byte is EBCDIC (1), the second byte VAX, Cray or IBM floats (1 to 3).
    plain = Request(7, 0, 0, b"stub", little_endian=little_endian)
    data = encode(plain, little_endian=little_endian)
    for floats in range(4):
        assert decode(data[:4] + bytes([data[4] | 1, floats]) + data[6:]) == plain


def test_a_big_endian_bind_names_the_same_interface() -> None:
    data = encode(Bind(1, (KMS_CONTEXT,)), little_endian=False)
    # The UUID's first field, most significant byte first.
    assert bytes.fromhex("51c82175844e4750b0d8ec255555bc06") in data
    [bind] = of_kind(Bind, [decode(data)])
    assert bind.contexts[0].abstract == KMS_INTERFACE


def test_a_big_endian_version_is_one_integer_with_the_minor_version_first() -> None:
    # Sent by Samba 4.17's client (`smbtorture "ncacn_ip_tcp:host[,bigendian]" rpc.mgmt`) and read so by Wireshark.
    data = bytes.fromhex(
        "05000b03 00000000 0074 0000 00000001 16d0 16d0 00000000 02000000"
        "0000 0100 afa8bd807d8a11c9bef408002b102989 00000001 8a885d041ceb11c99fe808002b104860 00000002"
        "0001 0100 afa8bd807d8a11c9bef408002b102989 00000001 6cb71c2c981245400300000000000000 00000001"
    )
    contexts = (
        PresentationContext(0, MGMT_INTERFACE, (NDR32,)),
        PresentationContext(1, MGMT_INTERFACE, (feature_syntax(3),)),
    )
    bind = Bind(1, contexts)
    assert decode(data) == bind
    assert encode(bind, little_endian=False) == data
    swapped = swap_syntax(SyntaxId.make("51c82175-844e-4750-b0d8-ec255555bc06", 1, 7).wire)
    assert swapped[16:] == bytes.fromhex("0007 0001")


@given(syntaxes)
def test_swapping_a_syntax_twice_changes_nothing(syntax: SyntaxId) -> None:
    assert swap_syntax(swap_syntax(syntax.wire)) == syntax.wire


def test_a_syntax_reads_as_its_uuid_and_version() -> None:
    syntax = SyntaxId.make("51c82175-844e-4750-b0d8-ec255555bc06", 1, 7)
    assert (str(syntax.uuid), syntax.major, syntax.minor) == ("51c82175-844e-4750-b0d8-ec255555bc06", 1, 7)
    assert str(syntax) == "51c82175-844e-4750-b0d8-ec255555bc06 v1.7"


def test_types_without_a_meaning_on_a_connection_decode_as_such() -> None:
    connectionless = {PacketType.PING, PacketType.WORKING, PacketType.NOCALL, PacketType.REJECT, PacketType.ACK}
    for ptype in [*connectionless, 20, 0xFF]:
        pdu = decode(struct.pack("<BBBBIHHI", 5, 0, ptype, 3, 0x10, 16, 0, 9))
        assert pdu == OtherPdu(9, ptype)
        assert decode(encode(pdu)) == pdu


def test_a_verifier_is_kept_apart_from_the_stub_and_its_padding() -> None:
    verifier = AuthVerifier(10, 6, 3, 79231, b"sixteen bytes...")
    data = encode(Request(1, 0, 0, b"stub!", auth=verifier))
    # sec_trailer ([MS-RPCE] 2.2.2.11): type, level, padding, reserved, context id.
    assert data[24:] == b"stub!" + bytes(3) + bytes.fromhex("0a0603007f350100") + b"sixteen bytes..."
    [request] = of_kind(Request, [decode(data)])
    assert request.stub == b"stub!"


@pytest.mark.parametrize(("length", "why"), [(0xFFFF, "does not fit"), (60, "does not fit")])
def test_a_verifier_larger_than_its_pdu_is_an_authentication_error(length: int, why: str) -> None:
    data = encode(Request(1, 0, 0, bytes(16)))
    with pytest.raises(PduError, match=why) as caught:
        decode(data[:10] + struct.pack("<H", length) + data[12:])
    assert caught.value.reason is Reason.RPC_AUTHENTICATION


def test_authentication_padding_larger_than_the_body_is_an_authentication_error() -> None:
    data = bytearray(encode(Request(1, 0, 0, bytes(16), auth=AuthVerifier(10, 5, 0, 0, bytes(4)))))
    data[-4 - 8 + 2] = 255
    with pytest.raises(PduError, match="padding") as caught:
        decode(bytes(data))
    assert caught.value.reason is Reason.RPC_AUTHENTICATION


def test_fewer_bytes_than_a_header_are_not_a_pdu() -> None:
    with pytest.raises(PduError, match="16-byte header"):
        decode(b"\5\0\0\3")


def test_a_fragment_of_another_length_than_its_header_says_is_an_error() -> None:
    with pytest.raises(PduError, match="says 16 bytes, the fragment has 17"):
        decode(encode(CoCancel(1)) + b"x")


def test_no_fragment_is_longer_than_its_length_field_can_say() -> None:
    with pytest.raises(ValueError, match="65,535"):
        encode(Response(1, 0, bytes(65536)))


def test_the_shortest_bind_nak_has_a_reason_alone() -> None:
    data = struct.pack("<BBBBIHHIH", 5, 0, PacketType.BIND_NAK, 3, 0x10, 18, 0, 4, 2)
    assert decode(data) == BindNak(4, 2, ())


def test_a_fault_may_leave_its_reserved_field_off() -> None:
    data = encode(Fault(1, 0, 5))[:28]
    [fault] = of_kind(Fault, [decode(data[:8] + struct.pack("<H", 28) + data[10:])])
    assert fault.status == 5


# Byte for byte, written by hand from C706 12.6.3.1 and 12.6.4 with the layouts of [MS-RPCE] 2.2.2.


def test_a_windows_clients_bind_is_read_as_it_is_meant() -> None:
    # The three contexts of a Windows 7 client: as wire.md and [MS-RPCE] 3.3.1.5.3 and 3.3.1.5.6 describe them.
    kms = "7521c8514e845047b0d8ec255555bc06" + "01000000"
    data = bytes.fromhex(
        "05000b03 10000000 a000 0000 02000000 d016 d016 00000000 03000000"
        + f"0000 0100 {kms} 045d888aeb1cc9119fe808002b104860 02000000"
        + f"0100 0100 {kms} 33057171babe37498319b5dbef9ccc36 01000000"
        + f"0200 0100 {kms} 2c1cb76c12984045 0300000000000000 01000000"
    )
    from kmstwist.kms.interface import WINDOWS_CONTEXTS

    assert decode(data) == Bind(2, WINDOWS_CONTEXTS)
    assert encode(Bind(2, WINDOWS_CONTEXTS)) == data


def test_a_bind_ack_is_as_the_specification_has_it() -> None:
    data = bytes.fromhex(
        "05000c03 10000000 3c00 0000 01000000 d016 d016 34120000"
        "0500 3136383800 00"  # port_any_t: a length with the NUL, the text, and padding to 4
        "01000000 0000 0000 045d888aeb1cc9119fe808002b104860 02000000"
    )
    ack = decode(data)
    assert type(ack) is BindAck
    assert ack.secondary_address == b"1688"
    assert encode(ack) == data


def test_a_bind_nak_names_the_versions_that_are_spoken() -> None:
    assert encode(BindNak(3, 4)) == bytes.fromhex("05000d03 10000000 1800 0000 03000000 0400 01 0500 000000")


def test_a_fault_is_32_bytes_and_without_stub() -> None:
    data = bytes.fromhex("05000323 10000000 2000 0000 05000000 20000000 0000 00 00 0300011c 00000000")
    assert encode(Fault(5, 0, 0x1C010003, flags=0x23)) == data
