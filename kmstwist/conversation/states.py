"""What a client's connection can be at, and what can happen to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a connection is."""

    #: A load balancer has connected, and has yet to say for whom.
    HEADER = "header"
    #: The client is connected and has sent nothing.
    OPENING = "opening"
    #: From a first byte to the whole request, bind and alter_contexts included.
    ASKING = "asking"
    #: Calls are being answered.
    CALLING = "calling"
    #: As calling; the client has said its last, and closes when it has its answers.
    FINISHING = "finishing"
    #: As calling; the connection's time is over, and it is closed when the answers are out.
    OVERDUE = "overdue"
    #: The client has its answer, and has sent nothing since.
    IDLE = "idle"
    #: The client was refused, and is given a moment to read why.
    LINGERING = "lingering"
    #: The connection is being closed.
    CLOSING = "closing"
    #: It is closed, and all of it is told.
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
    Input.ANSWERED: "No call is under way any more; or one was answered by RPC itself.",
    Input.ALTERED: "The client has been told of further contexts.",
    Input.BROKE_RULES: "The client broke the rules of RPC, and has been told.",
    Input.LATE: "The time for what the connection is at is over.",
    Input.TOTAL_OVER: "The time for the whole connection is over.",
    Input.SAID_LAST: "The client has closed its side: it sends nothing more, and may still read.",
    Input.END: "The server wants the connection closed.",
    Input.CUT: "The server wants it closed at once, whatever is under way.",
    Input.LOST: "The connection is gone.",
}
