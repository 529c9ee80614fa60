"""A client's question about the hosts behind the gateway: admitted like a call, but not a call in log and audit."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from kmstwist.conversation.factory import KmsFactory
from kmstwist.kms.interface import KMS, MANAGEMENT_CONTEXTS
from kmstwist.kms.reach import CHECK_HOSTS, REACH, REACH_CONTEXTS, REACH_INTERFACE, Reach, Role, decode
from kmstwist.rpc import FaultReceived, FaultStatus, ResponseReceived, RpcServer
from tests.conversation.test_protocol import Activator, Conversation, factory

__all__ = ["factory"]


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def activator() -> Activator:
    return Activator()


@pytest.fixture
def gateway(factory: KmsFactory) -> KmsFactory:
    factory.rpc = RpcServer((KMS, REACH))
    return factory


def ask(factory: KmsFactory, client: str = "10.0.0.7") -> tuple[Conversation, list[Any]]:
    conversation = Conversation(factory, client)
    conversation.bind()
    conversation.association.alter((*MANAGEMENT_CONTEXTS, *REACH_CONTEXTS))
    conversation.send(conversation.association.data_to_send())
    context = conversation.association.context_for(REACH_INTERFACE)
    assert context is not None
    conversation.association.call(context, CHECK_HOSTS, b"")
    return conversation, conversation.send(conversation.association.data_to_send())


def test_it_is_answered_when_the_check_is_done_and_leaves_a_quiet_line(
    gateway: KmsFactory, lines: list[dict[str, Any]], activator: Activator
) -> None:
    done: Deferred[Reach] = Deferred()
    gateway.reach = lambda: done
    conversation, answers = ask(gateway)
    assert answers == []
    done.callback(Reach(Role.GATEWAY, 2, 1, 5))
    [answer] = conversation.receive()
    assert isinstance(answer, ResponseReceived)
    assert decode(answer.stub) == Reach(Role.GATEWAY, 2, 1, 5)
    conversation.close()
    assert [line["reason"] for line in lines] == ["client-check"]
    assert "result" not in lines[0]
    assert activator.calls == []


def test_a_lab_answers_for_itself(gateway: KmsFactory) -> None:
    [answer] = ask(gateway)[1]
    assert decode(answer.stub) == Reach(Role.LAB)


def test_a_client_that_may_not_ask_is_refused_and_no_host_is_asked(
    gateway: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    gateway.reach = lambda: pytest.fail("asked")
    conversation, [answer] = ask(gateway, "10.66.0.1")
    assert isinstance(answer, FaultReceived)
    assert answer.status == FaultStatus.ACCESS_DENIED
    conversation.close()
    assert [line["reason"] for line in lines] == ["admission-network"]


def test_a_server_that_serves_no_calls_asks_no_host(gateway: KmsFactory) -> None:
    gateway.reach = lambda: pytest.fail("asked")
    gateway.rpc.listening = lambda: False
    [answer] = ask(gateway)[1]
    assert answer.status == FaultStatus.SERVER_TOO_BUSY


def test_a_client_that_leaves_meanwhile_is_forgotten(gateway: KmsFactory, lines: list[dict[str, Any]]) -> None:
    done: Deferred[Reach] = Deferred()
    gateway.reach = lambda: done
    conversation, _ = ask(gateway)
    conversation.close()
    done.callback(Reach(Role.GATEWAY, 1, 1, 5))
    assert gateway.connections == set()
    assert conversation.transport.value() == b""
    assert [line["reason"] for line in lines] == ["client-check"]
