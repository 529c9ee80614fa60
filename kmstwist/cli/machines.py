"""`docs/machines.md`: every state machine of the program, drawn and listed from the table that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kmstwist.conversation.conversation import CONVERSATION
from kmstwist.diagram import Section, render
from kmstwist.gateway.circuit import CIRCUIT
from kmstwist.gateway.reserve import POOL
from kmstwist.rpc.client.association import CLIENT
from kmstwist.rpc.server.association import SERVER

_HEAD: Final = """\
# The state machines

<!-- Made from the program by `make docs`. -->

What the code itself runs on: tables of rows, which `kmstwist/machine.py` runs. In a diagram, inputs that lead the same
way share an arrow, and what changes nothing is left out; the table has every row. "Any other" is a state's default row:
every input that has no row of its own.
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
        "One connection, as a KMS client finds it. What is answered to each mistake is in [rpc.md](rpc.md).",
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
        "kmstwist/gateway/reserve.py",
        POOL,
        "What the pool of connections to one KMS host does about its reserve.",
    ),
)


def machines_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *(render(section) for section in SECTIONS)])
