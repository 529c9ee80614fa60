"""The machines themselves: every input has an answer in every state, and a call is answered once."""

from __future__ import annotations

from typing import Any

import pytest

from kmstwist.kms.interface import KMS, WINDOWS_CONTEXTS
from kmstwist.machine import Machine, NoRow, Table, transition_text
from kmstwist.rpc import Call, ClientAssociation, Pdu, Request, RpcServer, ServerAssociation
from kmstwist.rpc.client.association import CLIENT
from kmstwist.rpc.server.association import SERVER
from kmstwist.rpc.server.call import CALL, CallInput, CallState
from kmstwist.rpc.server.contexts import BoundContext

TABLES: dict[str, Table[Any, Any]] = {"server": SERVER, "client": CLIENT, "call": CALL}


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


def new_call() -> Call:
    return Call(Request(2, 0, 0, b""), BoundContext(KMS, False), b"")


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
    call, let_through = new_call(), 0
    for step in story:
        if step == "answer":
            before = call.state
            call.step(CallInput.ANSWER)
            let_through += call.state is CallState.ANSWERED is not before
        else:
            call.step(CallInput.ORPHAN)
    assert let_through == sent
