"""A client that ends its side of the connection gets what it has asked for (RFC 9293 3.6), from lab and gateway."""

from __future__ import annotations

import socket

import pytest

from kmstwist.kms import interface
from kmstwist.kms.interface import WINDOWS_CONTEXTS
from kmstwist.rpc import BindAck, ClientAssociation, Pdu, ResponseReceived, decode
from tests.rpc.peer import kms_context
from tests.system.conftest import Server
from tests.waiting import PATIENCE

from .test_tshark import seal


def read_to_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(PATIENCE)
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def said(data: bytes) -> list[Pdu]:
    pdus = []
    while data:
        size = int.from_bytes(data[8:10], "little")
        pdus.append(decode(data[:size]))
        data = data[size:]
    return pdus


@pytest.fixture(params=["lab", "gateway"])
def server(request: pytest.FixtureRequest) -> Server:
    chosen: Server = request.getfixturevalue(request.param)
    return chosen


def test_a_bind_and_the_end_get_the_bind_ack_and_then_the_end(server: Server) -> None:
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    with server.connect() as connection:
        connection.sendall(association.data_to_send())
        connection.shutdown(socket.SHUT_WR)
        [answer] = said(read_to_the_end(connection))
        assert isinstance(answer, BindAck)
        port = connection.getsockname()[1]
    assert server.conversation(port=port)["end"] == "client"


def test_a_request_and_the_end_get_the_response_and_then_the_end(server: Server, lab: Server) -> None:
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    with server.connect() as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(association.data_to_send())
        while not association.contexts:
            association.receive_data(connection.recv(65536))
        association.call(kms_context(association), 0, interface.encode_request(seal(lab, 6)))
        connection.sendall(association.data_to_send())
        connection.shutdown(socket.SHUT_WR)
        [event] = association.receive_data(read_to_the_end(connection))
        assert isinstance(event, ResponseReceived)
        port = connection.getsockname()[1]
    line = server.conversation(port=port)
    assert (line["result"], line["end"]) == ("answered", "client")
