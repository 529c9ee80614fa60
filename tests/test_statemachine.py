"""The table runner: rows, default rows, tracing, and the errors for a wrong table."""

from __future__ import annotations

from enum import StrEnum

import pytest

from kmstwist.diagram import Section, render
from kmstwist.statemachine import ANY, SAME, Action, Machine, NoRow, Table, Trace, name_of, transition_text


class Door(StrEnum):
    OPEN = "ajar"
    SHUT = "shut"
    LOCKED = "locked"


class Hand(StrEnum):
    PUSH = "push"
    PULL = "pull"
    TURN = "turn"


INPUTS = {Hand.PUSH: "Somebody pushes.", Hand.PULL: "Somebody pulls.", Hand.TURN: "Somebody turns the key."}


class Gate(Machine[Door, Hand]):
    __slots__ = ("notes",)

    def __init__(self, table: Table[Door, Hand], trace: Trace | None = None) -> None:
        super().__init__(table, trace)
        self.notes: list[tuple[str, Door, tuple[object, ...]]] = []


def note(gate: Gate, *what: object) -> None:
    """Write down what was done.

    And no more than that.
    """
    gate.notes.append(("note", gate.state, what))


def slam(gate: Gate, *what: object) -> None:
    """Shut it hard: it locks."""
    gate.notes.append(("slam", gate.state, what))
    gate.step(Hand.TURN)


DOOR: Table[Door, Hand] = Table(
    "door",
    INPUTS,
    [
        (Door.SHUT, Hand.PUSH, Door.OPEN, note),
        (Door.SHUT, Hand.TURN, Door.LOCKED, None),
        (Door.OPEN, Hand.PULL, Door.SHUT, slam),
        (Door.LOCKED, Hand.TURN, Door.SHUT, None),
        (Door.LOCKED, ANY, SAME, note),
    ],
)


def test_a_machine_begins_in_the_first_rows_state() -> None:
    assert Gate(DOOR).state is Door.SHUT


def test_an_input_leads_to_the_next_state_whose_action_gets_what_was_given() -> None:
    gate = Gate(DOOR)
    gate.step(Hand.PUSH, "hard", 3)
    assert gate.state is Door.OPEN
    assert gate.notes == [("note", Door.OPEN, ("hard", 3))]


def test_an_action_may_step_the_machine_again_from_the_state_it_has_come_to() -> None:
    gate = Gate(DOOR)
    gate.step(Hand.PUSH)
    gate.step(Hand.PULL)
    assert gate.state is Door.LOCKED
    assert gate.notes[-1] == ("slam", Door.SHUT, ())


def test_a_default_row_takes_every_input_without_a_row_of_its_own() -> None:
    gate = Gate(DOOR)
    gate.step(Hand.TURN)
    gate.step(Hand.PUSH)
    gate.step(Hand.PULL)
    assert gate.state is Door.LOCKED
    assert [state for _, state, _ in gate.notes] == [Door.LOCKED, Door.LOCKED]
    gate.step(Hand.TURN)
    assert gate.state is Door.SHUT


def test_the_most_specific_row_wins_and_a_state_s_default_before_an_input_s() -> None:
    notes: list[str] = []

    def action(name: str) -> Action:
        return lambda gate: notes.append(name)

    table: Table[Door, Hand] = Table(
        "precedence",
        INPUTS,
        [
            (Door.SHUT, Hand.PUSH, SAME, action("exact")),
            (Door.SHUT, ANY, SAME, action("state")),
            (ANY, Hand.PULL, Door.OPEN, action("input")),
            (ANY, ANY, SAME, action("all")),
            (Door.OPEN, Hand.TURN, Door.SHUT, action("exact")),
        ],
    )
    gate = Gate(table)
    for happened in (Hand.PUSH, Hand.PULL, Hand.TURN):
        gate.step(happened)
    gate.state = Door.OPEN
    for happened in (Hand.PUSH, Hand.PULL, Hand.TURN):
        gate.step(happened)
    assert notes == ["exact", "state", "state", "all", "input", "exact"]
    assert table.without_row() == []


def test_an_input_without_a_row_raises_and_changes_nothing() -> None:
    gate = Gate(DOOR)
    with pytest.raises(NoRow, match="door: pull cannot happen when shut"):
        gate.step(Hand.PULL)
    assert gate.state is Door.SHUT


def test_a_table_lists_the_pairs_without_a_row() -> None:
    assert DOOR.without_row() == [(Door.SHUT, Hand.PULL), (Door.OPEN, Hand.PUSH), (Door.OPEN, Hand.TURN)]


def test_two_rows_for_the_same_state_and_input_are_refused() -> None:
    rows = [(Door.SHUT, Hand.PUSH, Door.OPEN, None), (Door.SHUT, Hand.PUSH, Door.SHUT, note)]
    with pytest.raises(ValueError, match="door: two rows are for the same state and input"):
        Table("door", INPUTS, rows)


def test_an_unexplained_input_is_refused() -> None:
    with pytest.raises(ValueError, match="door: no such input: turn"):
        Table("door", {Hand.PUSH: "Somebody pushes."}, [(Door.SHUT, Hand.TURN, Door.OPEN, None)])


def test_tracing_reports_every_transition_even_within_an_action() -> None:
    lines: list[str] = []
    gate = Gate(DOOR, trace=lambda *transition: lines.append(transition_text(*transition)))
    gate.step(Hand.PUSH)
    gate.step(Hand.PULL)
    gate.trace = None
    gate.step(Hand.TURN)
    assert lines == ["door: shut, push: open", "door: open, pull: shut", "door: shut, turn: locked"]


def test_classes_can_be_inputs_and_are_named_by_their_names() -> None:
    table: Table[Door, type] = Table("kinds", {int: "A number.", str: "A text."}, [(Door.OPEN, ANY, Door.SHUT, None)])
    machine = Machine(table)
    machine.step(int, 3)
    assert machine.state is Door.SHUT
    assert name_of(int) == "int"
    with pytest.raises(NoRow, match="kinds: str cannot happen when shut"):
        machine.step(str, "x")


def test_a_diagram_and_its_tables_say_what_the_rows_say() -> None:
    page = render(Section("The door", "tests/test_statemachine.py", DOOR, "A door with a lock."))
    assert page.startswith("## The door\n\nA door with a lock. Code: `tests/test_statemachine.py`.\n\n```mermaid\n")
    assert "    [*] --> shut\n    shut --> open: push\n    shut --> locked: turn\n" in page
    assert "    locked --> locked: any other\n" in page
    assert "| locked | any other | the same | Write down what was done. |\n" in page
    assert "| locked | turn | shut | Nothing. |\n" in page
    assert page.endswith("- `turn`: Somebody turns the key.\n")


def test_a_diagram_draws_no_arrow_for_a_state_with_a_row_of_its_own() -> None:
    table: Table[Door, Hand] = Table(
        "door",
        INPUTS,
        [
            (Door.SHUT, Hand.PUSH, Door.OPEN, note),
            (Door.OPEN, ANY, SAME, None),
            (ANY, Hand.TURN, Door.LOCKED, None),
            (ANY, Hand.PUSH, Door.LOCKED, note),
        ],
    )
    drawn = render(Section("The door", "tests/test_statemachine.py", table, "A door.")).partition("| state |")[0]
    assert [line.strip() for line in drawn.splitlines() if "-->" in line] == [
        "[*] --> shut",
        "shut --> open: push",
        "shut --> locked: turn",
        "locked --> locked: push",
    ]
