"""Binding, and what a server answers to PDUs by the state of the connection."""

from __future__ import annotations

import itertools

import pytest

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    CONC_MPX,
    DID_NOT_EXECUTE,
    NDR32,
    NDR64,
    SUPPORT_HEADER_SIGN,
    WHOLE,
    AlterContext,
    AlterContextResp,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextOutcome,
    Fault,
    Orphaned,
    OtherPdu,
    Pdu,
    PresentationContext,
    Refused,
    Request,
    Response,
    Shutdown,
    SyntaxId,
    encode,
    feature_syntax,
)
from tests.kinds import of_kind

from .peer import KMS_CONTEXT, MGMT_CONTEXT, Peer, bound_peer

PROTOCOL_ERROR = 0x1C01000B
OTHER = PresentationContext(0, SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 1), (NDR32,))
WINDOWS = (
    PresentationContext(0, KMS_INTERFACE, (NDR32,)),
    PresentationContext(1, KMS_INTERFACE, (NDR64,)),
    PresentationContext(2, KMS_INTERFACE, (feature_syntax(3),)),
)


# Byte for byte. Sources: the layouts of C706 12.6.3.1 and 12.6.4; [MS-RPCE] 2.2.2.4, 2.2.2.8, 2.2.2.9; what Windows
# fills them with as Samba's raw_protocol suite expects it (which tests/system runs).


def test_the_answer_to_a_windows_clients_bind_is_this() -> None:
    peer = Peer()
    peer.send(Bind(2, WINDOWS))
    assert peer.raw[0] == bytes.fromhex(
        "05000c03 10000000 6c00 0000 02000000"  # header: bind_ack, whole, little-endian, 108 bytes, call 2
        "d016 d016 00100000"  # fragment sizes both ways, association group 0x1000
        "0500 3136383800 00"  # secondary address "1688" with its NUL, padding to a multiple of 4
        "03000000"  # three results
        "0000 0000 045d888aeb1cc9119fe808002b104860 02000000"  # acceptance, in NDR32 v2.0
        "0200 0200 00000000000000000000000000000000 00000000"  # provider_rejection, transfer syntaxes not supported
        "0300 0300 00000000000000000000000000000000 00000000"  # negotiate_ack, both features
    )


@pytest.mark.parametrize(
    ("port", "address"),
    [
        ("9", "0200 3900"),
        ("80", "0300 383000 000000"),
        ("135", "0400 31333500 0000"),
        ("1688", "0500 3136383800 00"),
        ("49152", "0600 343931353200"),
    ],
)
def test_the_secondary_address_is_padded_to_4_whatever_the_port(port: str, address: str) -> None:
    peer = Peer(port=port)
    ack = peer.bind((KMS_CONTEXT,))
    assert ack.secondary_address == port.encode()
    assert peer.raw[0][24:-28] == bytes.fromhex(address)
    assert (len(peer.raw[0]) - 28) % 4 == 0


def test_a_bind_without_contexts_gets_this_nak() -> None:
    peer = Peer()
    peer.send(Bind(5, ()))
    # protocol_version_not_supported, as Windows since 2022; one version, 5.0; padding.
    assert peer.raw == [bytes.fromhex("05000d03 10000000 1800 0000 05000000 0400 01 0500 000000")]


def test_the_answer_to_a_request_before_a_bind_is_this() -> None:
    peer = Peer()
    peer.send(Request(6, 1, 0, b""))
    # fault, whole, did not execute; alloc_hint 32; context 0; nca_s_proto_error; reserved.
    assert peer.raw == [bytes.fromhex("05000323 10000000 2000 0000 06000000 20000000 0000 00 00 0b00011c 00000000")]


def test_the_answer_to_an_alter_context_is_this() -> None:
    peer = bound_peer(contexts=(KMS_CONTEXT,))
    peer.send(AlterContext(3, (PresentationContext(1, MGMT_CONTEXT.abstract, (NDR32,)),)))
    assert peer.raw[1] == bytes.fromhex(
        "05000f03 10000000 3800 0000 03000000"
        "d016 d016 00100000"
        "0000 0000"  # an empty secondary address is a length of 0, and padding
        "01000000 0000 0000 045d888aeb1cc9119fe808002b104860 02000000"
    )


def test_the_answer_to_an_unknown_operation_is_this() -> None:
    peer = bound_peer()
    peer.send(Request(4, 0, 1, b""))
    assert peer.raw[1] == bytes.fromhex("05000323 10000000 2000 0000 04000000 20000000 0000 00 00 0200011c 00000000")


# Flags and sizes.


@pytest.mark.parametrize("flags", range(256))
def test_of_a_binds_flags_only_the_two_capabilities_are_echoed(flags: int) -> None:
    ack = Peer().bind(flags=flags)
    assert ack.flags == WHOLE | flags & (CONC_MPX | SUPPORT_HEADER_SIGN)


@pytest.mark.parametrize("flags", range(256))
def test_of_an_alter_contexts_flags_only_header_signing_is_echoed(flags: int) -> None:
    [answer] = bound_peer().send(AlterContext(2, (KMS_CONTEXT,), flags=flags))
    assert answer.flags == WHOLE | flags & SUPPORT_HEADER_SIGN


def test_the_agreed_fragment_size_is_sent_for_both_directions() -> None:
    ack = Peer().bind(max_xmit_frag=3005, max_recv_frag=4000)
    assert (ack.max_xmit_frag, ack.max_recv_frag) == (3000, 3000)


def test_an_alter_context_changes_neither_sizes_nor_group() -> None:
    peer = Peer()
    ack = peer.bind(max_recv_frag=4000)
    altering = AlterContext(2, (KMS_CONTEXT,), max_xmit_frag=2048, max_recv_frag=2048, assoc_group=99)
    [answer] = of_kind(AlterContextResp, peer.send(altering))
    assert (answer.max_xmit_frag, answer.max_recv_frag, answer.assoc_group) == (4000, 4000, ack.assoc_group)
    assert peer.association.fragment_size == 4000


def test_agreed_features_are_kept_for_the_association() -> None:
    peer = Peer()
    peer.bind(WINDOWS)
    assert peer.association.features == 3


# By state.


def test_a_bind_whose_contexts_are_all_refused_still_binds_and_says_why() -> None:
    peer = Peer()
    assert peer.bind((OTHER,)).results == (ContextOutcome(2, 1),)
    assert peer.events == [Refused(Reason.RPC_NO_INTERFACE, "no context of the bind was accepted")]
    [answer] = of_kind(AlterContextResp, peer.send(AlterContext(2, (KMS_CONTEXT,))))
    assert answer.results == (ContextOutcome(0, 0, NDR32),)


def test_a_context_added_by_alter_context_can_be_called_on() -> None:
    peer = bound_peer(contexts=(MGMT_CONTEXT,))
    peer.send(AlterContext(2, (KMS_CONTEXT,)), Request(3, 0, 0, b"stub"))
    assert [call.stub for call in peer.calls] == [b"stub"]


def test_an_alter_context_before_a_bind_is_a_fault_and_the_end() -> None:
    peer = Peer()
    assert peer.send(AlterContext(2, (KMS_CONTEXT,))) == [Fault(2, 0, PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE)]
    assert peer.end.reason is Reason.RPC_NOT_BOUND


def test_an_alter_context_that_breaks_the_protocol_is_a_fault_and_the_end() -> None:
    peer = bound_peer()
    assert peer.send(AlterContext(2, ())) == [Fault(2, 0, PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE)]
    assert peer.end.reason is Reason.RPC_BAD_CONTEXT_LIST


def test_a_second_bind_is_refused_and_the_end() -> None:
    peer = bound_peer()
    assert peer.send(Bind(9, (KMS_CONTEXT,))) == [BindNak(9, 0)]
    assert peer.end.reason is Reason.RPC_SECOND_BIND


@pytest.mark.parametrize(
    "pdu",
    [
        Response(1, 0, b""),
        Fault(1, 0, 5),
        BindAck(1, ()),
        BindNak(1, 0),
        AlterContextResp(1, ()),
        Auth3(1),
        Shutdown(1),
        OtherPdu(1, 1),
        OtherPdu(1, 200),
    ],
    ids=lambda pdu: type(pdu).__name__,
)
@pytest.mark.parametrize("bound", [False, True])
def test_a_pdu_that_no_client_sends_ends_the_association_without_an_answer(pdu: Pdu, bound: bool) -> None:
    peer = bound_peer() if bound else Peer()
    assert peer.send(pdu) == []
    assert peer.end.reason is Reason.RPC_UNEXPECTED_PDU


@pytest.mark.parametrize("pdu", [CoCancel(1), Orphaned(1)])
def test_a_cancel_or_orphan_before_a_bind_is_the_end(pdu: Pdu) -> None:
    peer = Peer()
    assert peer.send(pdu) == []
    assert peer.end.reason is Reason.RPC_UNEXPECTED_PDU


def test_nothing_is_taken_after_the_end() -> None:
    peer = Peer()
    first = peer.send(Bind(1, ()), Bind(2, (KMS_CONTEXT,)))
    assert first == [BindNak(1, 4)]
    assert peer.send(Bind(3, (KMS_CONTEXT,))) == []
    assert peer.association.buffered == 0
    assert peer.server.statistics.packets_in == 1


# Versions and lengths.


def altered(data: bytes, offset: int, byte: int) -> bytes:
    return data[:offset] + bytes([byte]) + data[offset + 1 :]


@pytest.mark.parametrize(("offset", "byte"), [(0, 4), (0, 6), (1, 2), (1, 255)])
def test_a_bind_of_another_version_is_refused_for_that(offset: int, byte: int) -> None:
    peer = Peer()
    answer = peer.send_bytes(altered(encode(Bind(1, (KMS_CONTEXT,))), offset, byte))
    assert answer == [BindNak(1, 4)]
    assert peer.end.reason is Reason.RPC_VERSION


def test_minor_version_1_is_served_and_answered_in_version_5_0() -> None:
    peer = Peer()
    [ack] = peer.send_bytes(altered(encode(Bind(1, (KMS_CONTEXT,))), 1, 1))
    assert type(ack) is BindAck
    assert peer.raw[0][:2] == b"\5\0"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        # nmap's probes DNSVersionBindReqTCP and SMBProgNeg (both to their 17th byte) and the answers by which its
        # nmap-service-probes knows Windows' RPC; the call id is read in the byte order that the fifth byte says.
        ("001e0006 01000001 00000000 00000776 65", "05000d03 10000000 18000000 76070000 04000105 00000000"),
        ("000000a4 ff534d42 72000000 00080140 00", "05000d03 10000000 18000000 00080140 04000105 00000000"),
    ],
)
def test_bytes_that_are_not_rpc_get_the_answer_that_scanners_know_from_windows(question: str, answer: str) -> None:
    peer = Peer()
    peer.send_bytes(bytes.fromhex(question))
    assert peer.raw == [bytes.fromhex(answer)]
    assert peer.end.reason is Reason.RPC_NOT_RPC


def test_a_first_pdu_of_another_version_gets_ours_whatever_its_type() -> None:
    peer = Peer()
    assert peer.send_bytes(altered(encode(Request(9, 0, 0, b"")), 0, 4)) == [BindNak(9, 4)]
    assert peer.end.reason is Reason.RPC_VERSION


def test_a_request_of_another_version_is_not_answered_after_the_bind() -> None:
    peer = bound_peer()
    assert peer.send_bytes(altered(encode(Request(1, 0, 0, b"")), 0, 4)) == []
    assert peer.end.reason is Reason.RPC_VERSION


@pytest.mark.parametrize("length", [0, 15])
def test_a_length_that_cannot_be_is_answered_by_what_the_pdu_claims_to_be(length: int) -> None:
    def claim(pdu: Pdu) -> bytes:
        data = encode(pdu)
        return data[:8] + length.to_bytes(2, "little") + data[10:]

    assert Peer().send_bytes(claim(Bind(1, (KMS_CONTEXT,)))) == [BindNak(1, 0)]
    assert bound_peer().send_bytes(claim(Request(2, 0, 0, b""))) == [Fault(2, 0, PROTOCOL_ERROR)]
    alter_answer = [Fault(3, 0, PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE)]
    assert bound_peer().send_bytes(claim(AlterContext(3, (KMS_CONTEXT,)))) == alter_answer
    assert bound_peer().send_bytes(claim(CoCancel(4))) == []


@pytest.mark.parametrize("length", [5841, 0xFFFF])
def test_a_fragment_that_is_too_long_is_recognised_by_its_header(length: int) -> None:
    def claim(pdu: Pdu) -> bytes:
        data = encode(pdu)
        return data[:8] + length.to_bytes(2, "little") + data[10:]

    assert bound_peer().send_bytes(claim(Request(2, 0, 0, b""))) == [Fault(2, 0, PROTOCOL_ERROR)]
    peer = bound_peer()
    assert peer.send_bytes(claim(CoCancel(4))) == []
    assert peer.end.reason is Reason.RPC_FRAGMENT_LENGTH


def test_a_fragment_as_long_as_may_be_is_taken() -> None:
    peer = bound_peer()
    peer.send(Request(2, 0, 0, bytes(5840 - 24)))
    assert len(peer.calls[0].stub) == 5816


# Authentication: every type and level.

TYPES = (0, 1, 9, 10, 14, 16, 30, 68, 255)
LEVELS = (0, 1, 2, 3, 4, 5, 6, 7, 255)


@pytest.mark.parametrize(("auth_type", "level"), list(itertools.product(TYPES, LEVELS)))
def test_a_verifier_is_refused_wherever_it_comes(auth_type: int, level: int) -> None:
    auth = AuthVerifier(auth_type, level, 0, 1, bytes(16))
    recognized = 2 <= level <= 6

    peer = Peer()
    assert peer.send(Bind(1, (KMS_CONTEXT,), auth=auth)) == [BindNak(1, 8 if recognized else 0)]
    assert peer.end.reason is Reason.RPC_AUTHENTICATION

    peer = bound_peer()
    assert peer.send(AlterContext(2, (KMS_CONTEXT,), auth=auth)) == [Fault(2, 0, 5, flags=WHOLE | DID_NOT_EXECUTE)]
    assert peer.end.reason is Reason.RPC_AUTHENTICATION

    peer = bound_peer()
    [answer] = of_kind(Fault, peer.send(Request(3, 0, 0, b"", auth=auth)))
    assert (answer.status, answer.context_id) == (5, 0)
    assert peer.end.reason is Reason.RPC_AUTHENTICATION
    assert peer.calls == []
    assert f"type {auth_type} level {level}" in peer.end.detail


def test_a_verifier_that_does_not_fit_its_bind_is_a_protocol_error() -> None:
    data = encode(Bind(1, (KMS_CONTEXT,)))
    peer = Peer()
    assert peer.send_bytes(data[:10] + b"\xff\xff" + data[12:]) == [BindNak(1, 4)]
    assert peer.end.reason is Reason.RPC_AUTHENTICATION


# Other data representations.


def test_a_big_endian_client_is_served() -> None:
    peer = Peer()
    [ack] = of_kind(BindAck, peer.send(Bind(1, (KMS_CONTEXT, MGMT_CONTEXT)), little_endian=False))
    assert ack.results[0] == ContextOutcome(0, 0, NDR32)
    peer.send(Request(2, 0, 0, b"big"), little_endian=False)
    [call] = peer.calls
    assert (call.call_id, call.stub, call.little_endian) == (2, b"big", False)
    [answer] = of_kind(Response, peer.respond(call, b"little"))
    assert (answer.call_id, answer.stub, answer.little_endian) == (2, b"little", True)


def test_a_big_endian_management_request_is_understood() -> None:
    peer = bound_peer()
    [answer] = of_kind(Response, peer.send(Request(2, 1, 1, (2).to_bytes(4, "big")), little_endian=False))
    assert answer.stub[:8] == bytes.fromhex("02000000 02000000")
