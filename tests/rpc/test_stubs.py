"""The stubs of RequestActivation and of the management interface, in NDR32 and NDR64.

Checked against bytes written by hand from C706 chapter 14 and [MS-RPCE] 2.2.5 (counts and pointers of 8 bytes, aligned
to 8), and against impacket's NDR, an independent implementation.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.dcerpc.v5 import mgmt as impacket_mgmt
from impacket.dcerpc.v5.dtypes import DWORD, ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NDRPOINTER, NDRUniConformantArray

from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import Interface, StubError, StubReader, StubWriter, SyntaxId, mgmt

OTHER = SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 3)
#: The management interface does not list itself.
INTERFACES = (Interface(KMS_INTERFACE, 1), Interface(OTHER, 2), mgmt.MANAGEMENT)
messages = st.binary(min_size=1, max_size=300)


class ByteArray(NDRUniConformantArray):
    item = "c"


class ByteArrayPointer(NDRPOINTER):
    referent = (("Data", ByteArray),)


class ImpacketRequest(NDRCALL):
    structure = (("requestSize", DWORD), ("request", ByteArray))


class ImpacketResponse(NDRCALL):
    structure = (("responseSize", DWORD), ("response", ByteArrayPointer), ("ErrorCode", ULONG))


# RequestActivation.


def test_a_request_in_ndr32_is_a_size_a_count_and_the_bytes() -> None:
    stub = bytes.fromhex("05000000 05000000 0102030405")
    assert interface.encode_request(b"\1\2\3\4\5") == stub
    assert interface.decode_request(stub) == b"\1\2\3\4\5"


def test_a_request_in_ndr64_has_its_count_in_eight_bytes() -> None:
    stub = bytes.fromhex("05000000 00000000 0500000000000000 0102030405")
    assert interface.encode_request(b"\1\2\3\4\5", ndr64=True) == stub
    assert interface.decode_request(stub, ndr64=True) == b"\1\2\3\4\5"


def test_a_big_endian_client_is_understood() -> None:
    assert interface.decode_request(bytes.fromhex("00000002 00000002 abcd"), little_endian=False) == b"\xab\xcd"
    wide = bytes.fromhex("00000002 00000000 0000000000000002 abcd")
    assert interface.decode_request(wide, ndr64=True, little_endian=False) == b"\xab\xcd"


def test_a_response_in_ndr32_is_a_size_a_pointer_a_count_the_bytes_and_the_result() -> None:
    stub = bytes.fromhex("05000000 00000200 05000000 0102030405 000000 00000000")
    assert interface.encode_response(0, b"\1\2\3\4\5") == stub
    assert interface.decode_response(stub) == (0, b"\1\2\3\4\5")


def test_a_response_in_ndr64_has_its_pointer_and_count_in_eight_bytes() -> None:
    stub = bytes.fromhex("05000000 00000000 0000020000000000 0500000000000000 0102030405 000000 2aF004c0")
    assert interface.encode_response(0xC004F02A, b"\1\2\3\4\5", ndr64=True) == stub
    assert interface.decode_response(stub, ndr64=True) == (0xC004F02A, b"\1\2\3\4\5")


def test_a_status_goes_with_a_null_pointer() -> None:
    narrow, wide = (
        bytes.fromhex("00000000 00000000 42f004c0"),
        bytes.fromhex("0000000000000000 0000000000000000 42f004c0"),
    )
    assert interface.encode_response(0xC004F042) == narrow
    assert interface.encode_response(0xC004F042, ndr64=True) == wide
    assert interface.decode_response(narrow) == (0xC004F042, b"")
    assert interface.decode_response(wide, ndr64=True) == (0xC004F042, b"")


@given(messages, st.booleans())
def test_requests_survive_the_way_there_and_back(message: bytes, ndr64: bool) -> None:
    assert interface.decode_request(interface.encode_request(message, ndr64=ndr64), ndr64=ndr64) == message


@given(messages, st.integers(0, 0xFFFFFFFF), st.booleans())
def test_responses_survive_the_way_there_and_back(message: bytes, hresult: int, ndr64: bool) -> None:
    stub = interface.encode_response(hresult, message, ndr64=ndr64)
    assert interface.decode_response(stub, ndr64=ndr64) == (hresult, message)


@given(messages, st.booleans())
def test_impacket_writes_the_request_we_read_and_reads_the_one_we_write(message: bytes, ndr64: bool) -> None:
    theirs = ImpacketRequest(isNDR64=ndr64)
    theirs["requestSize"] = len(message)
    theirs["request"] = message
    assert interface.decode_request(theirs.getData(), ndr64=ndr64) == message
    ours = ImpacketRequest(interface.encode_request(message, ndr64=ndr64), isNDR64=ndr64)
    assert (ours["requestSize"], b"".join(ours["request"])) == (len(message), message)


@given(messages, st.integers(0, 0xFFFFFFFF), st.booleans())
def test_impacket_reads_the_response_we_write(message: bytes, hresult: int, ndr64: bool) -> None:
    read = ImpacketResponse(interface.encode_response(hresult, message, ndr64=ndr64), isNDR64=ndr64)
    assert (read["responseSize"], b"".join(read["response"]), read["ErrorCode"]) == (len(message), message, hresult)


@given(messages, st.integers(0, 0xFFFFFFFF), st.booleans())
def test_we_read_the_response_impacket_writes(message: bytes, hresult: int, ndr64: bool) -> None:
    theirs = ImpacketResponse(isNDR64=ndr64)
    theirs["responseSize"] = len(message)
    theirs["response"] = message
    theirs["ErrorCode"] = hresult
    assert interface.decode_response(theirs.getData(), ndr64=ndr64) == (hresult, message)


@pytest.mark.parametrize(
    ("stub", "why"),
    [
        (b"", "ends before"),
        (struct.pack("<I", 4), "ends before"),
        (struct.pack("<II", 4, 4) + b"abc", "ends before"),
        (struct.pack("<II", 4, 5) + b"abcde", "requestSize is 4 but the array's count is 5"),
        (struct.pack("<II", 5, 4) + b"abcde", "requestSize is 5 but the array's count is 4"),
        (struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF), "beyond any KMS message"),
    ],
)
def test_a_request_whose_counts_lie_does_not_unmarshal(stub: bytes, why: str) -> None:
    with pytest.raises(StubError, match=why):
        interface.decode_request(stub)


@pytest.mark.parametrize(
    ("stub", "why"),
    [
        (struct.pack("<II", 4, 0), "responseSize is 4 but the pointer is null"),
        (struct.pack("<III", 4, 1, 5) + b"abcde", "array's count is 5"),
        (struct.pack("<III", 4, 1, 4) + b"abcd", "ends before"),
    ],
)
def test_a_response_whose_counts_lie_does_not_unmarshal(stub: bytes, why: str) -> None:
    with pytest.raises(StubError, match=why):
        interface.decode_response(stub)


def test_bytes_past_the_message_are_ignored() -> None:
    assert interface.decode_request(struct.pack("<II", 2, 2) + b"abXYZ") == b"ab"


# The management interface.


def ask(opnum: int, stub: bytes = b"", **how: bool) -> bytes:
    return mgmt.answer(opnum, stub, INTERFACES, mgmt.Statistics(1, 2, 3, 4), **how)


def test_the_interface_ids_in_ndr32_are_a_vector_of_pointers() -> None:
    kms, other = KMS_INTERFACE.wire.hex(), OTHER.wire.hex()
    assert ask(mgmt.INQ_IF_IDS) == bytes.fromhex(f"00000200 02000000 02000000 04000200 08000200 {kms} {other} 00000000")


def test_the_interface_ids_in_ndr64_have_wide_counts_and_pointers() -> None:
    kms, other = KMS_INTERFACE.wire.hex(), OTHER.wire.hex()
    assert ask(mgmt.INQ_IF_IDS, ndr64=True) == bytes.fromhex(
        f"0000020000000000 0200000000000000 02000000 00000000 0400020000000000 0800020000000000{kms} {other} 00000000"
    )


@pytest.mark.parametrize("ndr64", [False, True])
def test_impacket_reads_our_interface_ids_and_so_do_we(ndr64: bool) -> None:
    stub = ask(mgmt.INQ_IF_IDS, ndr64=ndr64)
    read: Any = impacket_mgmt.inq_if_idsResponse(stub, isNDR64=ndr64)
    uuids = [entry["Data"]["Uuid"] for entry in read["if_id_vector"]["if_id"]]
    assert uuids == [KMS_INTERFACE.wire[:16], OTHER.wire[:16]]
    assert read["status"] == 0
    assert mgmt.decode_interface_ids(stub, ndr64=ndr64) == ([KMS_INTERFACE.wire, OTHER.wire], 0)


@pytest.mark.parametrize(("wanted", "told"), [(4, [1, 2, 3, 4]), (2, [1, 2]), (0, []), (50, [1, 2, 3, 4])])
def test_as_many_statistics_are_returned_as_were_asked_for_and_exist(wanted: int, told: list[int]) -> None:
    count = len(told)
    expected = struct.pack(f"<II{count}II", count, count, *told, 0)
    assert ask(mgmt.INQ_STATS, struct.pack("<I", wanted)) == expected
    assert ask(mgmt.INQ_STATS, struct.pack(">I", wanted), little_endian=False) == expected
    wide = struct.pack(f"<IxxxxQ{count}II", count, count, *told, 0)
    assert ask(mgmt.INQ_STATS, struct.pack("<I", wanted), ndr64=True) == wide


def test_a_counter_past_32_bits_wraps() -> None:
    statistics = mgmt.Statistics(calls_in=2**32 + 5)
    assert mgmt.answer(1, struct.pack("<I", 1), (), statistics) == struct.pack("<IIII", 1, 1, 5, 0)


@pytest.mark.parametrize("ndr64", [False, True])
def test_the_server_says_that_it_listens(ndr64: bool) -> None:
    stub = ask(mgmt.IS_SERVER_LISTENING, ndr64=ndr64)
    assert stub == struct.pack("<II", 0, 1)
    assert mgmt.decode_listening(stub, ndr64=ndr64) is True
    assert mgmt.decode_listening(struct.pack("<II", 5, 1)) is False
    assert mgmt.decode_listening(struct.pack(">II", 0, 1), little_endian=False) is True


def test_stopping_is_refused() -> None:
    assert ask(mgmt.STOP_SERVER_LISTENING) == struct.pack("<I", 5)


@pytest.mark.parametrize(("size", "name"), [(64, b"\0"), (1, b"\0"), (0, b"")])
def test_a_principal_name_is_empty_and_its_service_unknown(size: int, name: bytes) -> None:
    narrow = struct.pack("<III", size, 0, len(name)) + name
    assert ask(mgmt.INQ_PRINC_NAME, struct.pack("<II", 10, size)) == narrow + bytes(-len(narrow) % 4) + struct.pack(
        "<I", 1747
    )
    wide = struct.pack("<QQQ", size, 0, len(name)) + name
    assert ask(mgmt.INQ_PRINC_NAME, struct.pack("<II", 10, size), ndr64=True) == wide + bytes(
        -len(wide) % 4
    ) + struct.pack("<I", 1747)


@pytest.mark.parametrize(
    ("opnum", "stub"),
    [(mgmt.INQ_STATS, b""), (mgmt.INQ_PRINC_NAME, bytes(4)), (mgmt.INQ_PRINC_NAME, struct.pack("<II", 0, 0x10001))],
)
def test_a_management_request_that_does_not_unmarshal_is_an_error(opnum: int, stub: bytes) -> None:
    with pytest.raises(StubError):
        ask(opnum, stub)


def test_a_big_endian_servers_interface_ids_are_turned_round() -> None:
    big = struct.pack(">IIII", 1, 1, 1, 1) + bytes.fromhex("51c82175844e4750b0d8ec255555bc0600010000") + bytes(4)
    assert mgmt.decode_interface_ids(big, little_endian=False) == ([KMS_INTERFACE.wire], 0)


def test_an_interface_vector_with_null_pointers_or_none_is_read() -> None:
    assert mgmt.decode_interface_ids(struct.pack("<IIIII", 1, 2, 2, 0, 1) + KMS_INTERFACE.wire + bytes(4)) == (
        [KMS_INTERFACE.wire],
        0,
    )
    assert mgmt.decode_interface_ids(struct.pack("<II", 0, 5)) == ([], 5)


@pytest.mark.parametrize("counts", [(2, 3), (0x2000, 0x2000)])
def test_an_interface_vector_whose_counts_lie_does_not_unmarshal(counts: tuple[int, int]) -> None:
    with pytest.raises(StubError, match="vector"):
        mgmt.decode_interface_ids(struct.pack("<III", 1, *counts) + bytes(64))


# The reader and the writer.


@given(
    st.booleans(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=9)
)
def test_what_is_written_is_read(ndr64: bool, short: int, long: int, count: int, raw: bytes) -> None:
    writer = StubWriter(ndr64=ndr64).raw(raw).u16(short).u32(long).count(count).pointer(count).u16(short)
    reader = StubReader(writer.finish(), ndr64=ndr64)
    assert reader.raw(len(raw)) == raw
    assert (reader.u16(), reader.u32(), reader.count(), reader.pointer(), reader.u16()) == (
        short,
        long,
        count,
        count,
        short,
    )
    assert reader.remaining == 0
    for read in (reader.u16, reader.u32, reader.count, reader.pointer, lambda: reader.raw(1)):
        with pytest.raises(StubError, match="ends before"):
            read()


@given(stub=st.binary(max_size=60), size=st.integers(0, 40), referent=st.integers(0, 2), more=st.binary(max_size=24))
def test_a_response_stub_is_read_alike_in_one_look_and_field_by_field(
    stub: bytes, size: int, referent: int, more: bytes
) -> None:
    for data in (stub, struct.pack("<III", size, referent, size) + more):
        try:
            reader = StubReader(data)
            length, message = reader.u32(), b""
            if reader.pointer():
                if reader.count() != length:
                    raise StubError("its counts differ")
                message = reader.raw(length)
            elif length:
                raise StubError("a null pointer with a size")
            expected: tuple[int, bytes] | None = (reader.u32(), message)
        except StubError:
            expected = None
        try:
            found: tuple[int, bytes] | None = interface.decode_response(data)
        except StubError:
            found = None
        assert found == expected
