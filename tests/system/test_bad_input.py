"""No input on its port may disturb a server: a well-behaved client is served throughout."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    MGMT_INTERFACE,
    NDR32,
    AlterContext,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    ClientAssociation,
    ClientEvent,
    Fault,
    Pdu,
    PresentationContext,
    Request,
    Response,
    ResponseReceived,
    SyntaxId,
    decode,
    encode,
)
from kmstwist.rpc.mgmt import INQ_IF_IDS
from tests.rpc.peer import kms_context
from tests.system.conftest import Server, StartServer
from tests.waiting import PATIENCE

BIND = encode(Bind(1, (PresentationContext(0, KMS_INTERFACE, (NDR32,)),)))
REQUEST = encode(Request(2, 0, 0, interface.encode_request(bytes(8))))
OTHER_INTERFACE = PresentationContext(0, SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 1), (NDR32,))
VERIFIER = AuthVerifier(10, 5, 0, 0, bytes(16))
PROTOCOL_ERROR, UNKNOWN_INTERFACE, OP_RANGE, BAD_STUB, DENIED = 0x1C01000B, 0x1C010003, 0x1C010002, 0x6F7, 5


def altered(pdu: bytes, offset: int, replacement: bytes) -> bytes:
    return pdu[:offset] + replacement + pdu[offset + len(replacement) :]


def of_length(pdu: bytes, length: int) -> bytes:
    """A PDU whose header says another fragment length."""
    return altered(pdu, 8, struct.pack("<H", length))


class Case(NamedTuple):
    """Bytes on the port; the log's reason code; the last answer (None: closed without one); whether we close."""

    data: bytes
    reason: str
    answer: tuple[type, int] | None = None
    closes: bool = True


def nak(reason: int) -> tuple[type, int]:
    return (BindNak, reason)


def fault(status: int) -> tuple[type, int]:
    return (Fault, status)


CASES = {
    "random bytes": Case(random.Random(3).randbytes(400), "rpc-not-rpc", nak(4)),
    "an HTTP request": Case(b"GET / HTTP/1.1\r\nHost: kms.example\r\n\r\n", "rpc-not-rpc", nak(4)),
    "a TLS hello": Case(bytes.fromhex("1603010200010001fc0303") + bytes(500), "rpc-not-rpc", nak(4)),
    "an SSH banner": Case(b"SSH-2.0-OpenSSH_9.2p1\r\n", "rpc-not-rpc", nak(4)),
    "a bind of version 6.0": Case(altered(BIND, 0, b"\6"), "rpc-version", nak(4)),
    "a bind of version 5.2": Case(altered(BIND, 1, b"\2"), "rpc-version", nak(4)),
    "a request of version 4": Case(altered(REQUEST, 0, b"\4"), "rpc-version", nak(4)),
    "a fragment length of 0": Case(of_length(BIND, 0), "rpc-fragment-length", nak(0)),
    "a fragment length of 15": Case(of_length(BIND, 15), "rpc-fragment-length", nak(0)),
    "a request's fragment length of 65,535": Case(
        BIND + of_length(REQUEST, 65535), "rpc-fragment-length", fault(PROTOCOL_ERROR)
    ),
    "a request's fragment length of 15": Case(
        BIND + of_length(REQUEST, 15), "rpc-fragment-length", fault(PROTOCOL_ERROR)
    ),
    "a fragment longer than any negotiated": Case(
        BIND + encode(Request(2, 0, 0, bytes(5841 - 24))), "rpc-fragment-length", fault(PROTOCOL_ERROR)
    ),
    "a bind with fewer contexts than it says": Case(altered(BIND, 24, b"\x09"), "rpc-malformed-pdu", nak(0)),
    "a request shorter than its header": Case(
        BIND + of_length(REQUEST[:20], 20), "rpc-malformed-pdu", fault(PROTOCOL_ERROR)
    ),
    "a verifier longer than its PDU": Case(altered(BIND, 10, b"\xff\0"), "rpc-authentication", nak(4)),
    "a stub whose size lies": Case(
        BIND + encode(Request(2, 0, 0, struct.pack("<II", 1000, 1000) + bytes(10))),
        "rpc-bad-stub",
        fault(BAD_STUB),
        closes=False,
    ),
    "a stub whose counts contradict each other": Case(
        BIND + encode(Request(2, 0, 0, struct.pack("<II", 4, 8) + bytes(8))),
        "rpc-bad-stub",
        fault(BAD_STUB),
        closes=False,
    ),
    "a management stub that is too short": Case(
        encode(Bind(1, (PresentationContext(0, SyntaxId.make("afa8bd80-7d8a-11c9-bef4-08002b102989", 1), (NDR32,)),)))
        + encode(Request(2, 0, 1, b"")),
        "rpc-bad-stub",
        fault(BAD_STUB),
        closes=False,
    ),
    "a request before a bind": Case(REQUEST, "rpc-not-bound", fault(PROTOCOL_ERROR)),
    "an alter_context before a bind": Case(
        encode(AlterContext(1, WINDOWS_CONTEXTS)), "rpc-not-bound", fault(PROTOCOL_ERROR)
    ),
    "a second bind": Case(BIND + BIND, "rpc-second-bind", nak(0)),
    "a bind without contexts": Case(encode(Bind(1, ())), "rpc-bad-context-list", nak(4)),
    "a bind to another interface": Case(
        encode(Bind(1, (OTHER_INTERFACE,))), "rpc-no-interface", (BindAck, 0), closes=False
    ),
    "a bind to an unknown group": Case(encode(Bind(1, WINDOWS_CONTEXTS, assoc_group=7)), "rpc-assoc-group", nak(0)),
    "a bind with authentication": Case(encode(Bind(1, WINDOWS_CONTEXTS, auth=VERIFIER)), "rpc-authentication", nak(8)),
    "a request with authentication": Case(
        BIND + encode(Request(2, 0, 0, b"", auth=VERIFIER)), "rpc-authentication", fault(DENIED)
    ),
    "a third authentication leg": Case(BIND + encode(Auth3(2, auth=VERIFIER)), "rpc-unexpected-pdu", (BindAck, 0)),
    "a server's PDU": Case(encode(Response(1, 0, b"")), "rpc-unexpected-pdu"),
    "an unknown operation": Case(
        BIND + encode(Request(2, 0, 9, b"")), "rpc-unknown-operation", fault(OP_RANGE), closes=False
    ),
    "an unknown context": Case(
        BIND + encode(Request(2, 77, 0, b"")), "rpc-unknown-context", fault(UNKNOWN_INTERFACE), closes=False
    ),
    "a fragment without its first": Case(
        BIND + encode(Request(2, 0, 0, b"", flags=0)), "rpc-fragment-order", fault(PROTOCOL_ERROR)
    ),
}


class GoodClient:
    """A client that keeps its connection and makes calls on it."""

    def __init__(self, server: Server) -> None:
        self.socket = server.connect()
        self.association = ClientAssociation()
        self.association.bind(WINDOWS_CONTEXTS)
        self._exchange()

    def _exchange(self) -> list[ClientEvent]:
        self.socket.sendall(self.association.data_to_send())
        while True:
            data = self.socket.recv(65536)
            assert data, "a well-behaved client was turned out"
            if events := self.association.receive_data(data):
                return events

    def is_served(self) -> None:
        self.association.call(kms_context(self.association), 0, interface.encode_request(bytes(260)))
        [answer] = self._exchange()
        assert type(answer) is ResponseReceived


@pytest.fixture(scope="module")
def lab(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A lab that lets the well-behaved client stay for as long as the tests take."""
    config = tmp_path_factory.mktemp("bad-input") / "kmstwist.toml"
    config.write_text("[server.timeouts]\nrequest = 600\nidle = 600\ntotal = 3600\n")
    return start_server(f"--config={config}")


@pytest.fixture(scope="module")
def good_client(lab: Server) -> Iterator[GoodClient]:
    client = GoodClient(lab)
    yield client
    client.socket.close()


def answers(connection: socket.socket, last: type | None = None) -> list[Pdu]:
    """What the server sends until the first answer of type `last`, or until it closes if `last` is None."""
    pdus: list[Pdu] = []
    with connection.makefile("rb") as stream:
        while header := stream.read(16):
            pdus.append(decode(header + stream.read(int.from_bytes(header[8:10], "little") - 16)))
            if type(pdus[-1]) is last:
                break
    return pdus


def is_open(connection: socket.socket) -> bool:
    """Whether nothing more has come from the server, not even a close."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_its_answer_and_one_log_line_with_its_reason(
    name: str, lab: Server, good_client: GoodClient
) -> None:
    case = CASES[name]
    connection = lab.connect()
    connection.sendall(case.data)
    pdus = answers(connection, case.answer[0] if case.answer and not case.closes else None)
    # By then the server has finished with the bad one.
    good_client.is_served()

    assert case.closes or is_open(connection)
    if case.answer is None:
        assert pdus == []
    else:
        kind, number = case.answer
        answer = pdus[-1]
        assert type(answer) is kind
        if isinstance(answer, Fault):
            assert answer.status == number
            executes_nothing = number in (UNKNOWN_INTERFACE, OP_RANGE) or case.reason == "rpc-not-bound"
            assert bool(answer.flags & DID_NOT_EXECUTE) == executes_nothing
        elif isinstance(answer, BindNak):
            assert answer.reject_reason == number
    port = connection.getsockname()[1]
    connection.close()
    line = lab.conversation(port=port)
    assert line["reason"] == case.reason
    assert line["end"] == ("server" if case.closes else "client")
    assert line["client"] == "127.0.0.1"
    good_client.is_served()
    lab.conversation(result="refused")  # The good client's own, after which no late line of the bad one can come.
    assert [line["reason"] for line in lab.all_conversations() if line["port"] == port] == [case.reason]


def test_requests_in_fragments_are_refused_beyond_the_configured_size_each_and_all_together(
    start_server: StartServer, tmp_path: Path
) -> None:
    config = tmp_path / "kmstwist.toml"
    config.write_text("[server.limits]\nrequest_bytes = 2000\nreassembly_bytes = 1900\n")
    server = start_server(f"--config={config}")
    with server.connect() as connection:
        connection.sendall(BIND + encode(Request(2, 0, 0, bytes(1500), flags=FIRST_FRAG)))
        connection.sendall(encode(Request(2, 0, 0, bytes(501), flags=LAST_FRAG)))
        last = answers(connection)[-1]
    assert isinstance(last, Fault)
    assert last.status == DENIED
    line = server.conversation(reason="rpc-request-too-large")
    assert line["detail"] == "the request has reached 2001 bytes, 2000 are allowed"
    half = BIND + encode(Request(2, 0, 0, bytes(1000), flags=FIRST_FRAG))
    with server.connect() as one, server.connect() as other:
        one.sendall(half)
        other.sendall(half)
        assert server.wait_for("the requests in fragments of all connections have reached 1900 bytes")


def test_half_open_connections_are_closed_in_time_in_bounded_memory_while_others_are_served(
    start_server: StartServer,
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    connections = 10_000 if hard >= 12_000 else 2_000
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Longer than this process may be delayed between connecting and sending.
    server = start_server("--idle-timeout=6")
    before = server.rss()
    sockets, good_clients = [], []
    try:
        for number in range(connections):
            connection = server.connect()
            if number % 2:
                connection.sendall(BIND[: 1 + number % (len(BIND) - 2)])
            sockets.append(connection)
            if number % 1000 == 999:
                good_clients.append(GoodClient(server))
                good_clients[-1].is_served()
        grown = server.rss() - before
        assert grown < connections * 20 * 1024, "20 KiB for each half-open connection is already generous"
        for connection in sockets:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        good_clients.append(GoodClient(server))
        good_clients[-1].is_served()
    finally:
        for connection in sockets:
            connection.close()
        for client in good_clients:
            client.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.end()
    # The good clients' lines report their calls.
    reasons = Counter(line["reason"] for line in server.all_conversations() if line["result"] == "none")
    assert reasons == {"client-idle": connections // 2, "client-slow": connections // 2}


def test_a_client_that_never_reads_is_cut_off(start_server: StartServer) -> None:
    server = start_server("--idle-timeout=2")
    before = server.rss()
    ask = encode(Request(2, 1, INQ_IF_IDS, b"", 0))
    with server.connect() as connection:
        connection.sendall(encode(Bind(1, (PresentationContext(1, MGMT_INTERFACE, (NDR32,)),))))
        connection.settimeout(PATIENCE)
        sent = 0
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            # Its answers are many times as long as its questions.
            while sent < 32 * 1024 * 1024:
                sent += connection.send(ask * 1000)
    assert server.rss() - before < 16 * 1024 * 1024
    assert server.conversation(reason="client-idle")["end"] == "server"
