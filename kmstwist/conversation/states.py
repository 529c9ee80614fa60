"""The states of a client's connection, and what can happen to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a connection."""

    #: A load balancer has connected, and has not yet said for which client.
    HEADER = "header"
    #: The client is connected and has sent nothing.
    OPENING = "opening"
    #: From a first byte to the whole request, bind and alter_contexts included.
    ASKING = "asking"
    #: Calls are being answered.
    CALLING = "calling"
    #: As `CALLING`, but the client has closed its side; we close when it has its answers.
    FINISHING = "finishing"
    #: As `CALLING`, but the connection's time is over; we close when the answers are sent.
    OVERDUE = "overdue"
    #: The client has its answer, and has sent nothing since.
    IDLE = "idle"
    #: The client was refused, and has a moment to read why.
    LINGERING = "lingering"
    #: The connection is being closed.
    CLOSING = "closing"
    #: The connection is closed, and all its lines are written.
    OVER = "over"


class Input(StrEnum):
    """What can happen to a connection."""

    BYTES = "bytes"
    NAMED = "named"
    CALLED = "called"
    ANSWERED = "answered"
    ALTERED = "altered"
    BROKE_RULES = "broke rules"
    REFUSED = "refused"
    LATE = "late"
    TOTAL_OVER = "total over"
    SAID_LAST = "said last"
    END = "end"
    CUT = "cut"
    LOST = "lost"


#: What each thing that can happen means.
INPUTS: Final = {
    Input.BYTES: "The client, or before it the balancer, has sent bytes.",
    Input.NAMED: "The client's address is known: the peer's own, or the one that a balancer's header names.",
    Input.REFUSED: "The balancer sent no header, or a broken one.",
    Input.CALLED: "A call has come whole.",
    Input.ANSWERED: "No call is under way any more, or RPC itself has answered one.",
    Input.ALTERED: "The client's further contexts have been accepted.",
    Input.BROKE_RULES: "The client broke the rules of RPC, and has been told.",
    Input.LATE: "The deadline of the connection's present state has passed.",
    Input.TOTAL_OVER: "The deadline of the whole connection has passed.",
    Input.SAID_LAST: "The client has closed its side: it sends nothing more, but may still read.",
    Input.END: "The server wants the connection closed.",
    Input.CUT: "The server wants it closed at once, even if calls are under way.",
    Input.LOST: "The connection is gone.",
}
