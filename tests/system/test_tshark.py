"""Wireshark's dissector must find nothing wrong with what we send."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from kmstwist.kms import interface
from kmstwist.kms.catalogue import find
from kmstwist.kms.interface import KMS_INTERFACE, MANAGEMENT_CONTEXTS, WINDOWS_CONTEXTS
from kmstwist.kms.version import Version
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient
from kmstwist.rpc import (
    FIRST_FRAG,
    LAST_FRAG,
    MGMT_INTERFACE,
    NDR64,
    Bind,
    CallReceived,
    ClientAssociation,
    Interface,
    PresentationContext,
    Request,
    ResponseReceived,
    RpcServer,
    ServerAssociation,
    encode,
    mgmt,
)
from tests.rpc.peer import kms_context
from tests.system.conftest import Server

pytestmark = pytest.mark.needs("tshark")

BIND, BIND_ACK, ALTER, ALTER_RESP, REQUEST, RESPONSE, FAULT = 11, 12, 14, 15, 0, 2, 3
WARNING = 0x600000  # Wireshark's expert severities: chat, note, warning, error are 2, 4, 6, 8 times 0x100000.
CLIENT, SERVER_PORT = 50000, 1688

Conversation = list[tuple[bool, bytes]]
"""What was sent, in order: whether by the client, and the bytes."""


class Dissected(NamedTuple):
    """One PDU as tshark read it."""

    ptype: int
    frag_length: int
    call_id: int
    ack_results: list[int]
    opnum: int | None
    status: int | None


def write_pcap(path: Path, conversation: Conversation) -> None:
    """A capture of one TCP connection, one segment for each PDU (libpcap's format, link type Ethernet)."""
    sequence = {True: 1000, False: 5000}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))

        def segment(from_client: bool, flags: int, payload: bytes = b"") -> None:
            ports = (CLIENT, SERVER_PORT) if from_client else (SERVER_PORT, CLIENT)
            hosts = (b"\x0a\0\0\1", b"\x0a\0\0\2") if from_client else (b"\x0a\0\0\2", b"\x0a\0\0\1")
            tcp = struct.pack(
                ">HHIIBBHHH", *ports, sequence[from_client], sequence[not from_client], 0x50, flags, 65535, 0, 0
            )
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0) + hosts[0] + hosts[1]
            frame = bytes(12) + b"\x08\0" + ip + tcp + payload
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
            sequence[from_client] += len(payload) + bool(flags & 0x03)

        segment(True, 0x02)
        segment(False, 0x12)
        segment(True, 0x10)
        for from_client, data in conversation:
            while data:
                size = int.from_bytes(data[8:10], "little" if data[4] & 0x10 else "big")
                segment(from_client, 0x18, data[:size])
                data = data[size:]


def dissect(tmp_path: Path, program: Callable[[str], str], conversation: Conversation) -> list[Dissected]:
    """The PDUs of a conversation as tshark reads them; fails on any remark of warning level or above."""
    capture = tmp_path / "conversation.pcap"
    write_pcap(capture, conversation)
    fields = ["dcerpc.pkt_type", "dcerpc.cn_frag_len", "dcerpc.cn_call_id", "dcerpc.cn_ack_result", "dcerpc.opnum"]
    fields += ["dcerpc.cn_status", "_ws.expert.severity", "_ws.expert.message", "_ws.malformed"]
    command = [program("tshark"), "-n", "-r", str(capture), "-d", f"tcp.port=={SERVER_PORT},dcerpc", "-T", "fields"]
    command += ["-E", "separator=|", *itertools.chain.from_iterable(("-e", field) for field in fields)]
    read = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    pdus = []
    for line in read.stdout.splitlines():
        ptype, length, call_id, results, opnum, status, severities, messages, malformed = line.split("|")
        assert not malformed, line
        assert all(int(severity, 0) < WARNING for severity in severities.split(",") if severity), messages
        if ptype:
            pdus.append(
                Dissected(
                    int(ptype),
                    int(length),
                    int(call_id),
                    [int(result) for result in results.split(",") if result],
                    int(opnum.split(",")[0]) if opnum else None,
                    int(status, 0) if status else None,
                )
            )
    sent = sum(1 for _, data in conversation for _ in split(data))
    assert len(pdus) == sent, "tshark must see every PDU"
    assert [pdu.frag_length for pdu in pdus] == [len(piece) for _, data in conversation for piece in split(data)]
    return pdus


def split(data: bytes) -> list[bytes]:
    """The PDUs in these bytes."""
    pieces = []
    while data:
        size = int.from_bytes(data[8:10], "little" if data[4] & 0x10 else "big")
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class Recorded:
    """A connection to a server that records the bytes of both directions."""

    def __init__(self, server: Server) -> None:
        self.socket = server.connect()
        self.conversation: Conversation = []

    def exchange(self, data: bytes, answers: int = 1) -> bytes:
        """Send, and read this many PDUs."""
        self.conversation.append((True, data))
        self.socket.sendall(data)
        received = b""
        while len(split(received)) < answers or _said(received) > len(received):
            received += self.socket.recv(65536)
        self.conversation.append((False, received))
        return received


def _said(data: bytes) -> int:
    """The lengths of the PDUs begun in `data`, according to their headers."""
    total = 0
    while len(data) > total:
        total += int.from_bytes(data[total + 8 : total + 10], "little") or 16
    return total


def seal(lab: Server, major: int) -> bytes:
    client = LabClient(
        "tshark",
        UUID(int=major + 1),
        find("Windows 11 / 10 Enterprise"),
        installed=time.time(),
        version=Version(major, 0),
    )
    return client.seal_request(LabCipher(lab.lab_key(), os.urandom), time.time())


def bound(
    lab: Server, contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS
) -> tuple[Recorded, ClientAssociation]:
    connection, association = Recorded(lab), ClientAssociation()
    association.bind(contexts)
    association.receive_data(connection.exchange(association.data_to_send()))
    return connection, association


@pytest.mark.parametrize("major", [4, 5, 6])
def test_tshark_has_no_remark_on_an_activation_of_any_version(
    major: int, lab: Server, tmp_path: Path, program: Callable[[str], str]
) -> None:
    connection, association = bound(lab)
    association.call(kms_context(association), 0, interface.encode_request(seal(lab, major)))
    [answer] = association.receive_data(connection.exchange(association.data_to_send()))
    assert isinstance(answer, ResponseReceived)
    hresult, message = interface.decode_response(answer.stub)
    assert (hresult, message[2]) == (0, major)

    bind, ack, request, response = dissect(tmp_path, program, connection.conversation)
    assert (bind.ptype, ack.ptype, request.ptype, response.ptype) == (BIND, BIND_ACK, REQUEST, RESPONSE)
    assert ack.ack_results == [0, 2, 3]
    assert {bind.call_id, ack.call_id} == {2}
    assert request.call_id == response.call_id == 2
    assert request.opnum == 0


def test_tshark_has_no_remark_on_ndr64(lab: Server, tmp_path: Path, program: Callable[[str], str]) -> None:
    contexts = (PresentationContext(0, KMS_INTERFACE, (NDR64,)), PresentationContext(1, MGMT_INTERFACE, (NDR64,)))
    connection, association = bound(lab, contexts)
    for abstract, stub in (
        (KMS_INTERFACE, interface.encode_request(seal(lab, 6), ndr64=True)),
        (MGMT_INTERFACE, b""),
    ):
        context = association.context_for(abstract)
        assert context is not None
        association.call(context, 0, stub)
        [answer] = association.receive_data(connection.exchange(association.data_to_send()))
        assert isinstance(answer, ResponseReceived)
        assert answer.ndr64
    pdus = dissect(tmp_path, program, connection.conversation)
    assert [pdu.ptype for pdu in pdus] == [BIND, BIND_ACK, REQUEST, RESPONSE, REQUEST, RESPONSE]
    assert pdus[1].ack_results == [0, 0]


def test_tshark_puts_a_request_in_fragments_together(
    lab: Server, tmp_path: Path, program: Callable[[str], str]
) -> None:
    connection, _ = bound(lab)
    stub = interface.encode_request(seal(lab, 6))
    cuts = range(0, len(stub), 96)
    fragments = [
        Request(9, 0, 0, stub[at : at + 96], flags=FIRST_FRAG * (at == 0) | LAST_FRAG * (at == cuts[-1])) for at in cuts
    ]
    connection.exchange(b"".join(encode(fragment) for fragment in fragments))
    pdus = dissect(tmp_path, program, connection.conversation)
    assert [pdu.ptype for pdu in pdus] == [BIND, BIND_ACK, *[REQUEST] * len(cuts), RESPONSE]
    assert {pdu.call_id for pdu in pdus[2:]} == {9}


def test_tshark_puts_a_response_in_fragments_together(tmp_path: Path, program: Callable[[str], str]) -> None:
    server = RpcServer((Interface(KMS_INTERFACE, operations=1),))
    association = ServerAssociation(server, "1688")
    bind = encode(Bind(2, WINDOWS_CONTEXTS, max_recv_frag=2048))
    conversation: Conversation = [(True, bind)]
    association.receive_data(bind)
    conversation.append((False, association.data_to_send()))
    request = encode(Request(2, 0, 0, interface.encode_request(b"\0" * 100)))
    conversation.append((True, request))
    [event] = association.receive_data(request)
    assert isinstance(event, CallReceived)
    association.respond(event.call, interface.encode_response(0, bytes(5000)))
    conversation.append((False, association.data_to_send()))
    pdus = dissect(tmp_path, program, conversation)
    assert [pdu.ptype for pdu in pdus[2:]] == [REQUEST, RESPONSE, RESPONSE, RESPONSE]
    assert max(pdu.frag_length for pdu in pdus) == 2048


def test_tshark_has_no_remark_on_management_and_faults(
    lab: Server, tmp_path: Path, program: Callable[[str], str]
) -> None:
    connection, association = bound(lab)
    association.alter(MANAGEMENT_CONTEXTS)
    association.receive_data(connection.exchange(association.data_to_send()))
    context = association.context_for(MGMT_INTERFACE)
    assert context is not None
    for opnum, stub in (
        (mgmt.INQ_IF_IDS, b""),
        (mgmt.INQ_STATS, struct.pack("<I", 4)),
        (mgmt.IS_SERVER_LISTENING, b""),
        (mgmt.STOP_SERVER_LISTENING, b""),
        (mgmt.INQ_PRINC_NAME, struct.pack("<II", 10, 64)),
        (5, b""),
    ):
        association.call(context, opnum, stub)
        association.receive_data(connection.exchange(association.data_to_send()))
    pdus = dissect(tmp_path, program, connection.conversation)
    assert [pdu.ptype for pdu in pdus] == [BIND, BIND_ACK, ALTER, ALTER_RESP, *[REQUEST, RESPONSE] * 5, REQUEST, FAULT]
    assert pdus[3].ack_results == [0]
    assert [pdu.opnum for pdu in pdus if pdu.ptype == REQUEST] == [0, 1, 2, 3, 4, 5]
    assert pdus[-1].status == 0x1C010002
    connection.socket.shutdown(socket.SHUT_RDWR)
    connection.socket.close()
