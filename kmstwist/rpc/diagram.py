"""`docs/machines.md`: the three machines of this room, drawn and listed from their own tables of transitions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from kmstwist.rpc import answers, call, client, refusals, server

Transition = tuple[Any, Any, Any, Any]

_HEAD = """\
# The RPC state machines

<!-- Made from the program by `make docs`. -->

What the code itself runs on: the tables named `TRANSITIONS` in `kmstwist/rpc`. In a diagram,
inputs that lead the same way share an arrow, and those that change nothing are left out; the table has them all.
"""

#: The outputs that do nothing.
_IDLE = (
    refusals.ignore,
    refusals.ignore_violation,
    refusals.do_nothing,
    answers.ignore,
    answers.ignore_violation,
    call.drop,
    call.forget,
)
#: Title, the code it is in, the table, the protocol that explains its inputs, and what is to be said first.
_MACHINES: Sequence[tuple[str, str, Sequence[Transition], type, str]] = (
    (
        "Server association",
        "kmstwist/rpc/server.py",
        server.TRANSITIONS,
        server.AssociationInputs,
        "One connection, as a KMS client finds it. What is answered to each mistake is in [rpc.md](rpc.md).",
    ),
    (
        "Client association",
        "kmstwist/rpc/client.py",
        client.TRANSITIONS,
        client.ClientInputs,
        "One connection to a KMS host: the gateway's, a lab client's or the probe's.",
    ),
    (
        "Call",
        "kmstwist/rpc/call.py",
        call.TRANSITIONS,
        call.CallInputs,
        "One call on the server's side, from its last fragment to its answer.",
    ),
)


def render() -> str:
    """The whole page as Markdown, one Mermaid diagram and one table for each machine."""
    return "\n".join([_HEAD, *(_section(*machine) for machine in _MACHINES)])


def _section(title: str, place: str, table: Sequence[Transition], inputs: type, about: str) -> str:
    lines = [f"## {title}", "", f"{about} Code: `{place}`.", "", "```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {table[0][0].name}")
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, symbol, target, output in table:
        if state is not target or output not in _IDLE:
            arrows.setdefault((state.name, target.name), []).append(symbol.__name__)
    lines += [f"    {start} --> {end}: {', '.join(symbols)}" for (start, end), symbols in arrows.items()]
    lines += ["```", "", "| state | input | next state | what is done |", "| --- | --- | --- | --- |"]
    for state, symbol, target, output in table:
        lines.append(f"| {state.name} | {symbol.__name__} | {target.name} | {_first_sentence(output)} |")
    lines += ["", "The inputs:", ""]
    names = dict.fromkeys(symbol.__name__ for _, symbol, _, _ in table)
    lines += [f"- `{name}`: {_first_sentence(getattr(inputs, name))}" for name in names]
    return "\n".join(lines) + "\n"


def _first_sentence(described: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    text = inspect.getdoc(described) or ""
    return " ".join(text.partition("\n\n")[0].split())
