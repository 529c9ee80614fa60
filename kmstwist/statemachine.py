"""State machines as tables: a row says what happens, and the twenty lines of `Machine.step` run it.

A machine is an object whose class derives from `Machine`; what can happen to it is a `Table` of rows

    (state, input, next state, action)

that reads as the machine's specification. States are members of a `StrEnum`. Inputs are members of a `StrEnum`, too,
or, where the inputs are objects of several kinds, the classes of those objects: an RPC association steps by
`machine.step(type(pdu), pdu)`. The action is a plain function, called with the machine and with whatever else was given
to `step`; None stands for no action. When it runs the machine is in its next state already, so an action may step the
machine again: that is how it decides between two ways to go on.

`ANY` makes a default row: `(CLOSED, ANY, CLOSED, None)` is what happens in that state to every input without a row of
its own, and `(ANY, ANY, SAME, None)` the same in every state. The more exact row wins, a row for one state over a row
for one input. A pair without any row cannot happen; if it does, the program is wrong, and `step` raises `NoRow`.

Every pair of state and input is looked up once, when the table is made; a step is then one look into a dictionary.
Pages and diagrams are made from the same tables by `kmstwist.diagram`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum, StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar

StateT = TypeVar("StateT", bound=StrEnum)
InputT = TypeVar("InputT", bound=Hashable)


class Wildcard(Enum):
    """What stands in a row for more than one state or input."""

    ANY = "any"
    SAME = "same"


#: As a row's state or input: every one that has no row of its own.
ANY: Final = Wildcard.ANY
#: As a row's next state: the machine stays in the state it is in.
SAME: Final = Wildcard.SAME

#: Called as `action(machine, *what)`, where `what` is what `step` was given beside the input.
Action: TypeAlias = Callable[..., None]
#: Called as `trace(machine, state before, input)` after each change of state and before its action.
Trace: TypeAlias = Callable[["Machine[Any, Any]", Any, Any], None]


class NoRow(LookupError):
    """Something happened that the machine's table does not know in its state: a mistake in the program."""


class Table(Generic[StateT, InputT]):
    """All that can happen to a machine.

    `name` says which machine it is; `inputs` all that can happen, each with a sentence that explains it. The first
    row's state is the one that a machine begins in. Raises `ValueError` for an input that is not in `inputs` and where
    two rows are for the same.
    """

    __slots__ = ("initial", "inputs", "lookup", "name", "rows", "states")

    def __init__(
        self,
        name: str,
        inputs: Mapping[InputT, str],
        rows: Iterable[tuple[StateT | Wildcard, InputT | Wildcard, StateT | Wildcard, Action | None]],
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.rows = tuple(rows)
        #: The states in the order in which the rows name them.
        self.states: tuple[StateT, ...] = tuple(
            dict.fromkeys(state for row in self.rows for state in (row[0], row[2]) if not isinstance(state, Wildcard))
        )
        self.initial: StateT = self.states[0]
        by_pair = {(row[0], row[1]): (row[2], row[3]) for row in self.rows}
        if len(by_pair) != len(self.rows):
            raise ValueError(f"{name}: two rows are for the same state and input")
        unknown = [name_of(row[1]) for row in self.rows if row[1] is not ANY and row[1] not in inputs]
        if unknown:
            raise ValueError(f"{name}: no such input: {', '.join(unknown)}")
        #: The next state and the action for each pair of state and input that has a row, default rows worked in.
        self.lookup: dict[tuple[StateT, InputT], tuple[StateT, Action | None]] = {}
        for state in self.states:
            for happened in inputs:
                for pair in ((state, happened), (state, ANY), (ANY, happened), (ANY, ANY)):
                    if pair in by_pair:
                        target, action = by_pair[pair]
                        self.lookup[state, happened] = (state if isinstance(target, Wildcard) else target, action)
                        break

    def without_row(self) -> list[tuple[StateT, InputT]]:
        """The pairs that cannot happen: a test of a machine should expect exactly these."""
        return [
            (state, happened) for state in self.states for happened in self.inputs if not self.knows(state, happened)
        ]

    def knows(self, state: StateT, happened: InputT) -> bool:
        """Whether there is a row, or a default row, for this input in this state."""
        return (state, happened) in self.lookup


class Machine(Generic[StateT, InputT]):
    """What every machine is: a state, a table, and a switch for tracing. Derive from it; call `step`."""

    __slots__ = ("state", "table", "trace")

    def __init__(self, table: Table[StateT, InputT], trace: Trace | None = None) -> None:
        """`trace` is called with every transition; it may be set and unset at any time."""
        self.table = table
        self.state = table.initial
        self.trace = trace

    def step(self, happened: InputT, *what: object) -> None:
        """Take an input: go to its row's next state, then do its action with `what`. Raises `NoRow`."""
        before = self.state
        try:
            self.state, action = self.table.lookup[before, happened]
        except KeyError:
            raise NoRow(f"{self.table.name}: {name_of(happened)} cannot happen when {name_of(before)}") from None
        if self.trace is not None:
            self.trace(self, before, happened)
        if action is not None:
            # Nearly all steps have nothing else or one thing: handing on as many as there are takes twice as long.
            if not what:
                action(self)
            elif len(what) == 1:
                action(self, what[0])
            else:
                action(self, *what)


def name_of(subject: object) -> str:
    """How a state or an input is called in a trace, an error and a diagram: `half_open`, `AlterContext`."""
    if isinstance(subject, Enum):
        return subject.name.lower()
    return subject.__name__ if isinstance(subject, type) else str(subject)


def transition_text(machine: Machine[StateT, InputT], before: object, happened: object) -> str:
    """A transition as one line for a log at level debug: `server association: unbound, Bind: bound`."""
    return f"{machine.table.name}: {name_of(before)}, {name_of(happened)}: {name_of(machine.state)}"
