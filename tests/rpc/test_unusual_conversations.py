"""Unusual conversations, byte for byte, with the answers of Windows and Samba.

Each was found by holding generated conversations with kmstwist and with Samba, and comparing the answers. R is
`samba.tests.dcerpc.raw_protocol`, which Samba runs against Windows too; what it says of authenticated connections
holds for the others as well, since Samba's code for both is the same.
"""

from __future__ import annotations

import pytest

from kmstwist.reasons import Reason
from kmstwist.rpc import (
    WINDOWS_2012_R2,
    Ended,
    RpcServer,
    ServerAssociation,
)
from kmstwist.rpc.mgmt import INQ_IF_IDS, decode_interface_ids

from .peer import KMS, split

#: A bind to the management interface as context 0; the same with concurrent multiplexing; the same as context 7.
B = bytes.fromhex(
    "05000b03100000004800000001000000d016d016000000000100000000000100"
    "80bda8af8a7dc911bef408002b10298901000000045d888aeb1cc9119fe808002b10486002000000"
)
B13 = B[:3] + b"\x13" + B[4:]
B_7 = B[:28] + b"\x07" + B[29:]
B13_7 = B13[:28] + b"\x07" + B13[29:]
#: The first fragment of call 2, on context 0; operation 2 is is_server_listening.
F = bytes.fromhex("050000011000000018000000020000000000000000000200")
PROTOCOL_ERROR = "0b00011c"
UNKNOWN_INTERFACE = "0300011c"
ACK, NAK, RESPONSE, FAULT = 12, 13, 2, 3


class Conversation:
    """Reads sent to a server one by one, and the PDUs that came back."""

    def __init__(self, *reads: bytes, server: RpcServer | None = None) -> None:
        self.association = ServerAssociation(server or RpcServer((KMS,)), "1688")
        self.answers: list[bytes] = []
        self.ended: Ended | None = None
        for read in reads:
            self.send(read)

    def send(self, read: bytes) -> None:
        events = self.association.receive_data(read)
        self.ended = next((event for event in events if type(event) is Ended), self.ended)
        self.answers += split(self.association.data_to_send())

    @property
    def kinds(self) -> list[int]:
        return [answer[2] for answer in self.answers]


def fragment(call_id: int, *, flags: int = 0, context_id: int = 0, opnum: int = 2, stub: bytes = b"") -> bytes:
    head = bytes([5, 0, 0, flags, 0x10, 0, 0, 0]) + (24 + len(stub)).to_bytes(2, "little") + bytes(2)
    return (
        head
        + call_id.to_bytes(4, "little")
        + bytes(4)
        + context_id.to_bytes(2, "little")
        + opnum.to_bytes(2, "little")
        + stub
    )


def fault(call_id: int, context_id: int, status: str, *, did_not_execute: bool = False) -> bytes:
    flags = "23" if did_not_execute else "03"
    return bytes.fromhex(
        f"050003{flags} 10000000 2000 0000 {call_id:02x}000000 20000000 {context_id:02x}00 00 00 {status} 00000000"
    )


def answered_and_over(conversation: Conversation, answer: bytes) -> None:
    assert conversation.answers[1:] == [answer]
    assert conversation.ended is not None


@pytest.mark.parametrize(
    "further", ["050000021000000018000000020000000000000000006300", None], ids=["opnum", "context"]
)
def test_the_operation_and_context_that_later_fragments_name_mean_nothing(further: str | None) -> None:
    # 1. R says of both that they are "completely ignored".
    conversation = Conversation(B, F, bytes.fromhex(further) if further else fragment(2, flags=2, context_id=9))
    assert conversation.kinds == [ACK, RESPONSE]
    assert conversation.answers[1][12:16] == b"\2\0\0\0"
    assert conversation.ended is None


def test_a_stray_fragment_without_multiplexing_is_a_fault_of_the_call_it_breaks_into() -> None:
    # 2. R: lastNext*.
    stray = bytes.fromhex("050000021000000018000000030000000000000000000200")
    answered_and_over(Conversation(B, F, stray), fault(2, 0, PROTOCOL_ERROR))
    answered_and_over(Conversation(B_7, fragment(2, flags=1, context_id=7), stray), fault(2, 7, PROTOCOL_ERROR))


def test_with_multiplexing_too_one_call_is_received_at_a_time() -> None:
    # 3. [MS-RPCE] 3.3.3; R: MPX_first1_firstNext*.
    conversation = Conversation(B13, F, bytes.fromhex("050000031000000018000000030000000000000000000200"))
    answered_and_over(conversation, fault(3, 0, PROTOCOL_ERROR))


def test_a_stray_fragment_with_multiplexing_is_a_fault_in_its_own_context() -> None:
    # 4. R: MPX_middle_*.
    stray = bytes.fromhex("050000021000000018000000020000000000000007000200")
    answered_and_over(Conversation(B13_7, stray), fault(2, 7, PROTOCOL_ERROR))


def test_a_stray_fragment_with_multiplexing_in_an_unbound_context_leaves_the_connection() -> None:
    # 4, the second half.
    conversation = Conversation(B13_7, fragment(2, context_id=9))
    assert conversation.answers[1:] == [fault(2, 0, UNKNOWN_INTERFACE, did_not_execute=True)]
    assert conversation.ended is None


def test_a_call_that_begins_twice_is_a_fault_in_its_first_context() -> None:
    # 5. R: firstSame111.
    for bind in (B_7, B13_7):
        again = Conversation(bind, fragment(2, flags=1, context_id=7), fragment(2, flags=1, context_id=9))
        answered_and_over(again, fault(2, 7, PROTOCOL_ERROR))


def test_a_first_fragment_in_an_unbound_context_is_a_fault_and_the_connection_stays() -> None:
    # 6. Samba's shared code treats it as it does a whole request.
    conversation = Conversation(B, bytes.fromhex("050000011000000018000000020000000000000009000200"))
    assert conversation.answers[1:] == [fault(2, 0, UNKNOWN_INTERFACE, did_not_execute=True)]
    assert conversation.ended is None
    conversation.send(fragment(3, flags=3))
    assert conversation.kinds[2:] == [RESPONSE]


def test_a_shutdown_from_a_client_is_the_end_as_is_any_servers_pdu() -> None:
    # 7. C706 12.6.4.11: a server sends it.
    conversation = Conversation(B, bytes.fromhex("05001103100000001000000002000000"))
    assert conversation.ended is not None
    assert conversation.ended.reason is Reason.RPC_UNEXPECTED_PDU


def test_a_bind_is_answered_though_its_client_has_nothing_more_to_send() -> None:
    # 8. RFC 9293 3.6: the other direction is still open.
    association = ServerAssociation(RpcServer((KMS,)), "1688")
    association.receive_data(B)
    [ended] = association.end_of_input()
    assert type(ended) is Ended
    assert association.over
    assert [answer[2] for answer in split(association.data_to_send())] == [ACK]


def padded(bind: bytes, size: int) -> bytes:
    return bind[:8] + size.to_bytes(2, "little") + bind[10:] + bytes(size - len(bind))


@pytest.mark.parametrize("size", [5841, 0xFFFF])
def test_a_bind_or_alter_context_may_be_as_long_as_its_length_field_can_say(size: int) -> None:
    # 9. The size that is negotiated holds for what comes after (Samba's dcesrv_core says so of Windows).
    conversation = Conversation(padded(B, size))
    assert conversation.kinds == [ACK]
    assert conversation.answers[0][16:20] == bytes.fromhex("d016d016")
    alter = padded(B[:2] + b"\x0e" + B[3:], size)
    conversation.send(alter)
    assert conversation.kinds == [ACK, 15]
    conversation.send(fragment(2, flags=3)[:8] + size.to_bytes(2, "little") + fragment(2, flags=3)[10:])
    assert conversation.kinds == [ACK, 15, FAULT]


@pytest.mark.parametrize("auth_length", ["1000", "2800", "ffff"])
def test_a_verifier_that_reaches_into_the_context_list_is_a_protocol_error(auth_length: str) -> None:
    # 10. [MS-RPCE] 2.2.2.5; R: test_invalid_auth_noctx.
    conversation = Conversation(B[:10] + bytes.fromhex(auth_length) + B[12:])
    assert conversation.answers == [bytes.fromhex("05000d03 10000000 1800 0000 01000000 0400 01 0500 000000")]
    assert conversation.ended is not None


def test_the_management_interface_does_not_list_itself() -> None:
    # 11. The DCE reference code marks it internal; impacket's rpcmap adds it by itself.
    conversation = Conversation(B, fragment(2, flags=3, opnum=INQ_IF_IDS))
    assert decode_interface_ids(conversation.answers[1][24:]) == ([KMS.syntax.wire], 0)


def test_a_bind_without_contexts_is_refused_as_the_newest_windows_does_or_as_an_older_one() -> None:
    # R, since 2024: Windows Server 2012 R2 answers 0 (reason not specified), 2022 answers 4.
    for size in (28, 25):  # With and without the padding after the number of contexts; Samba's client leaves it off.
        empty = (B[:8] + bytes([size, 0]) + B[10:24] + bytes(4))[:size]
        assert Conversation(empty).answers[0][16:18] == b"\4\0"
        older = RpcServer((KMS,), windows=WINDOWS_2012_R2)
        assert Conversation(empty, server=older).answers[0][16:18] == b"\0\0"


# Found later in the same way.


def test_a_further_fragment_in_another_byte_order_is_a_fault_of_its_call() -> None:
    further = bytes([5, 0, 0, 2, 0, 0, 0, 0]) + bytes.fromhex("0018 0000 00000002 00000000 0000 0002")
    answered_and_over(Conversation(B, F, further), fault(2, 0, PROTOCOL_ERROR, did_not_execute=True))


def test_a_further_fragment_that_announces_more_than_the_limit_is_refused() -> None:
    further = fragment(2)
    further = further[:16] + (0x400001).to_bytes(4, "little") + further[20:]
    answered_and_over(Conversation(B, F, further), fault(2, 0, "05000000"))


def test_a_cancelled_first_fragment_between_anothers_fragments_is_a_fault_of_the_call_under_way() -> None:
    answered_and_over(Conversation(B, F, fragment(3, flags=7)), fault(2, 0, PROTOCOL_ERROR))


def verified(request: bytes) -> bytes:
    """A request with a verifier of a type that nobody has."""
    size = (len(request) + 24).to_bytes(2, "little")
    return request[:8] + size + b"\x10\0" + request[12:] + bytes([100, 2]) + bytes(22)


def test_a_call_that_begins_again_with_a_verifier_gets_a_security_package_error() -> None:
    for bind in (B, B13):
        answered_and_over(Conversation(bind, F, verified(F)), fault(2, 0, "21070000"))


def test_a_stray_fragment_with_a_verifier_is_denied_with_multiplexing() -> None:
    answered_and_over(Conversation(B13_7, verified(fragment(2, context_id=7))), fault(2, 7, "05000000"))
    answered_and_over(Conversation(B_7, verified(fragment(2, context_id=7))), fault(2, 0, PROTOCOL_ERROR))


@pytest.mark.parametrize("flags", [0x03, 0x83])
def test_a_verifier_that_reaches_into_a_requests_header_is_a_protocol_error(flags: int) -> None:
    request = fragment(2, flags=flags, stub=bytes(20))
    request = request[:10] + (20).to_bytes(2, "little") + request[12:]
    answered_and_over(Conversation(B, request), fault(2, 0, PROTOCOL_ERROR, did_not_execute=True))


def test_a_hint_with_a_verifier_that_cannot_be_is_a_hint_all_the_same() -> None:
    conversation = Conversation(B, F)
    conversation.send(bytes.fromhex("05001203100000001000100002000000 05001303100000001000ffff02000000"))
    conversation.send(fragment(2, flags=2))
    assert conversation.kinds == [ACK, RESPONSE]


def test_a_second_bind_is_refused_for_being_one_whatever_else_is_wrong_with_it() -> None:
    second = B[:10] + b"\xff\xff" + B[12:]
    assert Conversation(B, second).answers[1][16:18] == b"\0\0"


def test_an_alter_context_without_contexts_is_a_protocol_error_verifier_or_not() -> None:
    empty = bytes.fromhex("05000e0310000000340010000200000000000000000000000000000064020000 00000000") + bytes(16)
    answered_and_over(Conversation(B, empty), fault(2, 0, PROTOCOL_ERROR, did_not_execute=True))


def test_an_alter_context_that_adds_a_context_may_agree_on_multiplexing() -> None:
    conversation = Conversation(B)
    alter = B[:2] + b"\x0e\x13" + B[4:28] + b"\x05" + B[29:]
    conversation.send(alter)
    assert conversation.answers[1][3] == 0x13
    assert conversation.association.multiplexed


def test_a_bind_that_is_accepted_in_nothing_agrees_on_no_multiplexing() -> None:
    unknown = B13[:32] + bytes(16) + B13[48:]
    conversation = Conversation(unknown)
    assert conversation.answers[0][3] == 0x03
    assert not conversation.association.multiplexed
