"""`docs/machines.md`: every state machine of the program, drawn and listed from its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kmstwist.conversation.conversation import CONVERSATION
from kmstwist.diagram import Section, render
from kmstwist.gateway.circuit import CIRCUIT
from kmstwist.gateway.connections import POOL
from kmstwist.rpc.client.association import CLIENT
from kmstwist.rpc.server.association import SERVER

_HEAD: Final = """\
# The state machines

<!-- Made from the program by `make docs`. -->

The program's state machines are tables of rows, which `kmstwist/statemachine.py` runs; this page shows those tables.
In a diagram, inputs that lead to the same state share an arrow, and rows that change nothing are left out; the table
has every row. "Any other" is a default row: it applies to every state or input without a row of its own, and a row for
one state comes before a row for one input.
"""

SECTIONS: Final[Sequence[Section]] = (
    Section(
        "Conversation",
        "kmstwist/conversation/conversation.py",
        CONVERSATION,
        "A client's connection, from the accept to its log line.",
    ),
    Section(
        "Server association",
        "kmstwist/rpc/server/association.py",
        SERVER,
        "One connection from a KMS client, seen by the server. [rpc.md](rpc.md) lists the answer to each mistake.",
    ),
    Section(
        "Client association",
        "kmstwist/rpc/client/association.py",
        CLIENT,
        "One connection to a KMS host: the gateway's, a lab client's or the probe's.",
    ),
    Section(
        "Circuit",
        "kmstwist/gateway/circuit.py",
        CIRCUIT,
        "Whether calls are sent to one KMS host behind the gateway.",
    ),
    Section(
        "Pool",
        "kmstwist/gateway/connections.py",
        POOL,
        "The pool of connections to one KMS host, and when it keeps a reserve of them.",
    ),
)


def machines_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *(render(section) for section in SECTIONS)])
