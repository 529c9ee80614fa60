"""Stopping: which clients are closed at once, may still ask, may finish, or are cut."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from kmstwist.admission.admission import Admission
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.conversation.factory import KmsFactory
from kmstwist.conversation.settings import TimeoutSettings
from kmstwist.kms.activation import ActivationAnswer
from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.process.listening import ListeningService
from kmstwist.rpc import Interface, ResponseReceived, RpcServer
from tests.conversation.test_protocol import Activator, Conversation, postponed
from tests.logs import logger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def factory(clock: Clock) -> KmsFactory:
    factory = KmsFactory(
        RpcServer((Interface(KMS_INTERFACE, operations=1),)),
        clock,
        Admission(AdmissionSettings(), clock, connections=100),
        timeouts=TimeoutSettings(),
        log=logger(),
    )
    factory.activator = Activator()
    return factory


class Stopping:
    """A service on no port, being stopped."""

    def __init__(self, factory: KmsFactory, clock: Clock) -> None:
        self._clock = clock
        self.done: list[Any] = []
        service = ListeningService([], factory, clock, drain=10.0, log=logger())
        service.startService()
        service.stopService().addCallback(self.done.append)

    def after(self, seconds: float) -> None:
        self._clock.pump([0.1] * round(seconds * 10))


def ended(conversation: Conversation) -> bool:
    return bool(conversation.transport.disconnecting)


def test_without_clients_it_is_done_at_once(factory: KmsFactory, clock: Clock) -> None:
    assert Stopping(factory, clock).done == [None]
    assert clock.getDelayedCalls() == []


def test_a_client_that_has_its_answer_or_was_silent_is_closed_at_once(factory: KmsFactory, clock: Clock) -> None:
    silent = Conversation(factory)
    clock.advance(5)
    answered = Conversation(factory)
    answered.bind()
    answered.call()
    stopping = Stopping(factory, clock)
    assert (ended(silent), ended(answered), stopping.done) == (True, True, [])
    silent.close()
    answered.close()
    assert stopping.done == [None]


def test_a_new_client_may_ask_and_is_closed_when_it_has_its_answer(factory: KmsFactory, clock: Clock) -> None:
    young = Conversation(factory)
    stopping = Stopping(factory, clock)
    stopping.after(1.5)
    assert not ended(young)
    young.bind()
    [answer] = young.call()
    assert isinstance(answer, ResponseReceived)
    stopping.after(0.1)
    assert ended(young)


def test_a_new_client_that_does_not_ask_is_closed_after_a_moment(factory: KmsFactory, clock: Clock) -> None:
    young = Conversation(factory)
    stopping = Stopping(factory, clock)
    stopping.after(1.5)
    assert not ended(young)
    stopping.after(1)
    assert ended(young)


def test_a_call_under_way_is_finished_and_one_that_takes_longer_is_cut(factory: KmsFactory, clock: Clock) -> None:
    answers: list[Deferred[ActivationAnswer]] = []
    activator = Activator()
    activator.answer = postponed(answers)
    factory.activator = activator
    conversations = [Conversation(factory), Conversation(factory)]
    for conversation in conversations:
        conversation.bind()
        conversation.call()
    clock.advance(3)
    stopping = Stopping(factory, clock)
    stopping.after(5)
    assert [ended(conversation) for conversation in conversations] == [False, False]
    answers[0].callback(ActivationAnswer(0, b"answer"))
    [answer] = conversations[0].receive()
    assert isinstance(answer, ResponseReceived)
    stopping.after(0.1)
    assert [ended(conversation) for conversation in conversations] == [True, False]
    conversations[0].close()
    stopping.after(5)
    assert conversations[1].transport.aborted
    conversations[1].close()
    assert stopping.done == [None]
