"""Machines on paper: a Mermaid diagram and a Markdown table for each, made from the tables that the program runs on.

In a diagram, inputs that lead to the same state share an arrow, and rows that change nothing are left out.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from kmstwist.statemachine import ANY, SAME, InputT, StateT, Table, Wildcard, name_of


class Section(NamedTuple):
    """One machine of a page: its title, the file it is in, its table, and a sentence about it."""

    title: str
    place: str
    table: Table[Any, Any]
    about: str


def render(section: Section) -> str:
    """The machine as Markdown: prose, diagram, rows, and what each input means."""
    table = section.table
    lines = [
        f"## {section.title}",
        "",
        f"{section.about} Code: `{section.place}`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
    ]
    lines.append(f"    [*] --> {name_of(table.initial)}")
    for (start, end), happenings in _arrows(table).items():
        lines.append(f"    {start} --> {end}: {', '.join(happenings)}")
    lines += ["```", "", "| state | input | next state | what is done |", "| --- | --- | --- | --- |"]
    for state, happened, target, action in table.rows:
        cells = (
            "any other" if state is ANY else name_of(state),
            "any other" if happened is ANY else name_of(happened),
            "the same" if target is SAME else name_of(target),
            _first_sentence(action),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "The inputs:", ""]
    lines += [f"- `{name_of(happened)}`: {meaning}" for happened, meaning in table.inputs.items()]
    return "\n".join(lines) + "\n"


def _arrows(table: Table[StateT, InputT]) -> dict[tuple[str, str], list[str]]:
    """The diagram's arrows, each with its inputs. A state's own row leaves a default row out."""
    arrows: dict[tuple[str, str], list[str]] = {}
    rows = {(state, happened) for state, happened, _, _ in table.rows}
    for state, happened, target, action in table.rows:
        others = (one for one in table.states if rows.isdisjoint({(one, happened), (one, ANY)}))
        for start in others if isinstance(state, Wildcard) else (state,):
            end = start if isinstance(target, Wildcard) else target
            if start is not end or action is not None:
                label = "any other" if happened is ANY else name_of(happened)
                arrows.setdefault((name_of(start), name_of(end)), []).append(label)
    return arrows


def _first_sentence(action: object) -> str:
    """The first paragraph of an action's docstring in one line."""
    if action is None:
        return "Nothing."
    text = inspect.getdoc(action) or ""
    return " ".join(text.partition("\n\n")[0].split())
