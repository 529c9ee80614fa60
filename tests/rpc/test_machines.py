"""The machines themselves: every input has an answer in every state, and a call is answered once."""

from __future__ import annotations

from typing import Any

import pytest

from kmstwist.kms.interface import KMS, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    Bind,
    CallReceived,
    ClientAssociation,
    Orphaned,
    Pdu,
    Request,
    RpcServer,
    ServerAssociation,
    encode,
)
from kmstwist.rpc.client.association import CLIENT
from kmstwist.rpc.server.association import SERVER
from kmstwist.statemachine import Machine, NoRow, Table, transition_text

TABLES: dict[str, Table[Any, Any]] = {"server": SERVER, "client": CLIENT}


@pytest.mark.parametrize("name", TABLES)
def test_every_input_has_exactly_one_line_in_every_state(name: str) -> None:
    assert TABLES[name].without_row() == []


@pytest.mark.parametrize("table", [SERVER, CLIENT], ids=["server", "client"])
def test_every_pdu_there_is_is_an_input(table: Table[Any, type]) -> None:
    assert set(Pdu.__args__) <= set(table.inputs)


def test_closed_is_never_left() -> None:
    for table in (SERVER, CLIENT):
        for (state, happened), (target, _) in table.lookup.items():
            if state == "closed":
                assert target == "closed", happened


def test_a_client_binds_once() -> None:
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    with pytest.raises(NoRow):
        association.bind(WINDOWS_CONTEXTS)


def test_a_trace_tells_what_both_ends_go_through() -> None:
    lines: list[str] = []

    def trace(machine: Machine[Any, Any], before: object, happened: object) -> None:
        lines.append(transition_text(machine, before, happened))

    client, server = ClientAssociation(trace), ServerAssociation(RpcServer((KMS,)), "1688", trace=trace)
    client.bind(WINDOWS_CONTEXTS)
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    assert lines == [
        "client association: idle, Start: binding",
        "server association: unbound, Bind: unbound",
        "server association: unbound, Accepted: bound",
        "client association: binding, BindAck: bound",
    ]


@pytest.mark.parametrize(
    ("story", "sent"),
    [
        (["answer"], 1),
        (["answer", "answer"], 1),
        (["orphan", "answer"], 0),
        (["answer", "orphan", "answer"], 1),
        (["orphan", "orphan", "answer", "answer"], 0),
    ],
)
def test_a_call_is_answered_at_most_once_and_not_when_orphaned(story: list[str], sent: int) -> None:
    association = ServerAssociation(RpcServer((KMS,)), "1688")
    association.receive_data(encode(Bind(2, WINDOWS_CONTEXTS)))
    [event] = association.receive_data(encode(Request(2, 0, 0, b"")))
    assert type(event) is CallReceived
    association.data_to_send()
    answers = 0
    for step in story:
        if step == "answer":
            association.respond(event.call, b"")
            answers += bool(association.data_to_send())
        else:
            association.receive_data(encode(Orphaned(2)))
    assert answers == sent


def test_an_answer_is_not_taken_for_that_of_another_call_with_the_same_id() -> None:
    association = ServerAssociation(RpcServer((KMS,)), "1688")
    association.receive_data(encode(Bind(2, WINDOWS_CONTEXTS)))
    [first] = association.receive_data(encode(Request(2, 0, 0, b"first")))
    association.receive_data(encode(Orphaned(2)))
    [second] = association.receive_data(encode(Request(2, 0, 0, b"second")))
    assert type(first) is type(second) is CallReceived
    association.data_to_send()
    association.respond(first.call, b"")
    association.fault(first.call, 5)
    assert association.data_to_send() == b""
    association.respond(second.call, b"")
    assert association.data_to_send()


def test_a_traced_association_goes_the_way_of_the_table() -> None:
    lines: list[str] = []

    def trace(machine: Machine[Any, Any], before: object, happened: object) -> None:
        lines.append(transition_text(machine, before, happened))

    client, server = ClientAssociation(), ServerAssociation(RpcServer((KMS,)), "1688")
    client.bind(WINDOWS_CONTEXTS)
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    client.trace = server.trace = trace
    client.call(client.contexts[0], 0, b"")
    [event] = server.receive_data(client.data_to_send())
    assert type(event) is CallReceived
    server.respond(event.call, b"")
    client.receive_data(server.data_to_send())
    assert lines == [
        "server association: bound, Request: bound",
        "client association: bound, Response: bound",
    ]
