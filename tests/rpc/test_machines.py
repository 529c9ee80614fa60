"""The machines themselves: every input has an answer in every state, and a call is answered once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from automat import NoTransition

from kmstwist.rpc import call, client, server
from kmstwist.rpc.machine import IndexedAutomaton

MODULES = {"server": server, "client": client, "call": call}


def inputs_of(protocol: type) -> set[str]:
    return {name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")}


@pytest.mark.parametrize(
    ("module", "protocol"),
    [(server, server.AssociationInputs), (call, call.CallInputs)],
    ids=["server", "call"],
)
def test_every_input_has_exactly_one_line_in_every_state(module, protocol):
    lines = [(state.name, symbol.__name__) for state, symbol, _, _ in module.TRANSITIONS]
    states = {state for state, _ in lines}
    assert sorted(lines) == sorted((state, symbol) for state in states for symbol in inputs_of(protocol))


def test_a_client_has_exactly_one_line_for_every_input_but_a_second_bind():
    lines = [(state.name, symbol.__name__) for state, symbol, _, _ in client.TRANSITIONS]
    states = {state for state, _ in lines}
    every = {(state, symbol) for state in states for symbol in inputs_of(client.ClientInputs)}
    assert every - set(lines) == {(state, "start") for state in states - {"idle"}}
    assert len(lines) == len(set(lines))


def test_closed_is_never_left():
    for module in (server, client):
        for state, symbol, target, _ in module.TRANSITIONS:
            if state.name == "closed":
                assert target.name == "closed", symbol


def test_a_client_binds_once():
    association = client.ClientAssociation()
    association.bind()
    with pytest.raises(NoTransition):
        association.bind()


def test_the_index_says_what_the_table_says():
    machine = client.ClientMachine.__automat_automaton__
    assert isinstance(machine, IndexedAutomaton)
    assert len(machine.allTransitions()) == len(client.TRANSITIONS)
    for state, symbol, target, _ in client.TRANSITIONS:
        assert machine.outputForInput(state, symbol.__name__)[0] is target


class Sender:
    """Counts the answers that were let through."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self) -> None:
        self.sent += 1


def new_call() -> call.CallInputs:
    return call.CallMachine(call._CORE)


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
def test_a_call_is_answered_at_most_once_and_not_when_orphaned(story, sent):
    machine, sender = new_call(), Sender()
    steps: dict[str, Callable[[], None]] = {"answer": lambda: machine.answer(sender), "orphan": machine.orphan}
    for step in story:
        steps[step]()
    assert sender.sent == sent
