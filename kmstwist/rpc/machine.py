"""Building the machines: a table of transitions into an Automat machine that finds them by index.

Automat looks a transition up by comparing every one of the machine's; with thirty of them that is a third of the time
a conversation takes. The table is fixed once a machine is built, so it is indexed here by state and input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from automat import TypeMachineBuilder
from automat._core import Automaton, NoTransition
from automat._typed import TypeMachine

InputsT = TypeVar("InputsT")
CoreT = TypeVar("CoreT")


class IndexedAutomaton(Automaton[Any, str, Any]):
    """An automaton whose transitions do not change any more, indexed by state name and input."""

    def __init__(self, automaton: Automaton[Any, str, Any]) -> None:
        super().__init__(automaton.initialState)
        self._transitions = set(automaton.allTransitions())
        self._index = {
            (state.name, symbol): (target, tuple(outputs)) for state, symbol, target, outputs in self._transitions
        }

    def outputForInput(self, inState: Any, inputSymbol: str) -> tuple[Any, Sequence[Any]]:
        """The next state and the outputs. Raises `NoTransition` where the table has no such line."""
        try:
            return self._index[inState.name, inputSymbol]
        except KeyError:
            raise NoTransition(state=inState, symbol=inputSymbol) from None


def build(
    builder: TypeMachineBuilder[InputsT, CoreT], table: Iterable[tuple[Any, Any, Any, Any]]
) -> TypeMachine[InputsT, CoreT]:
    """The machine of `table`, whose lines are (state, input, next state, output)."""
    for state, symbol, target, output in table:
        state.upon(symbol).to(target)(output)
    machine = builder.build()
    return TypeMachine(machine.__automat_type__, IndexedAutomaton(machine.__automat_automaton__))
