"""A client's connection as a state machine: its states, what can happen to it, and what is done then.

Why it is a machine: what bytes, an end or a deadline mean depends on what came before: whether the client's address is
known, whether it is asking or being answered, whether it has been refused. The table `CONVERSATION` lists all of that.

Around it: the protocol moves bytes in and out; the RPC association interprets them; `calls` takes each call from
admission to its reply; `lines` says when a call's line is written. `states` explains the states and inputs; `actions`
and `core` do what the table names.
"""

from __future__ import annotations

from typing import Final

from kmstwist.conversation.actions import (
    ask,
    begin,
    close,
    cut,
    cut_old,
    cut_silent,
    cut_slow,
    expect_no_more,
    let_go,
    linger,
    read_header,
    stop_lingering,
)
from kmstwist.conversation.conversations import Conversations
from kmstwist.conversation.core import ConversationCore
from kmstwist.conversation.lines import Cause
from kmstwist.conversation.states import INPUTS, Input, State
from kmstwist.reasons import Reason
from kmstwist.statemachine import ANY, SAME, Table, Trace
from kmstwist.transport.sending import ClientTransport, Sender

_S, _I = State, Input
#: This table is the life of a client's connection. `calls` ends calls (`ANSWERED`); `lines` has the rule for log lines.
CONVERSATION: Final[Table[State, Input]] = Table(
    "conversation",
    INPUTS,
    [
        # state, input, next state, what is done
        (_S.HEADER, _I.BYTES, SAME, read_header),
        (_S.HEADER, _I.NAMED, _S.OPENING, ConversationCore.count_client),
        (_S.HEADER, _I.REFUSED, _S.CLOSING, close),
        (_S.HEADER, _I.LATE, _S.CLOSING, cut_silent),
        (_S.OPENING, _I.BYTES, _S.ASKING, begin),
        (_S.OPENING, _I.LATE, _S.CLOSING, cut_silent),
        (_S.ASKING, _I.BYTES, SAME, ConversationCore.take),
        (_S.ASKING, _I.CALLED, _S.CALLING, ConversationCore.stop_time),
        (_S.ASKING, _I.ANSWERED, _S.IDLE, ConversationCore.give_idle_time),
        (_S.ASKING, _I.ALTERED, SAME, ConversationCore.give_request_time),
        (_S.ASKING, _I.LATE, _S.CLOSING, cut_slow),
        (_S.CALLING, _I.BYTES, SAME, ConversationCore.take),
        (_S.CALLING, _I.CALLED, SAME, None),
        (_S.CALLING, _I.ANSWERED, _S.IDLE, ConversationCore.give_idle_time),
        (_S.CALLING, _I.SAID_LAST, _S.FINISHING, expect_no_more),
        (_S.CALLING, _I.TOTAL_OVER, _S.OVERDUE, None),
        (_S.FINISHING, _I.ANSWERED, _S.CLOSING, ConversationCore.hang_up),
        (_S.FINISHING, _I.TOTAL_OVER, _S.OVERDUE, None),
        (_S.OVERDUE, _I.BYTES, SAME, ConversationCore.take),
        (_S.OVERDUE, _I.CALLED, SAME, None),
        (_S.OVERDUE, _I.ANSWERED, SAME, ConversationCore.give_moment),
        (_S.OVERDUE, _I.LATE, _S.CLOSING, cut_old),
        (_S.OVERDUE, _I.SAID_LAST, SAME, None),
        (_S.IDLE, _I.BYTES, _S.ASKING, ask),
        # Calls that arrived together: the first was answered while the second was being read.
        (_S.IDLE, _I.CALLED, _S.CALLING, ConversationCore.stop_time),
        (_S.IDLE, _I.LATE, _S.CLOSING, cut_silent),
        (_S.LINGERING, _I.LATE, _S.CLOSING, stop_lingering),
        (_S.LINGERING, _I.SAID_LAST, _S.CLOSING, let_go),
        (_S.LINGERING, _I.CUT, _S.CLOSING, cut),
        (_S.LINGERING, _I.LOST, _S.OVER, ConversationCore.finish),
        (_S.LINGERING, ANY, SAME, None),
        (_S.CLOSING, _I.CUT, SAME, cut),
        (_S.CLOSING, _I.LOST, _S.OVER, ConversationCore.finish),
        (_S.CLOSING, ANY, SAME, None),
        (_S.OVER, ANY, SAME, None),
        (ANY, _I.BROKE_RULES, _S.LINGERING, linger),
        (ANY, _I.TOTAL_OVER, _S.CLOSING, cut_old),
        (ANY, _I.SAID_LAST, _S.CLOSING, ConversationCore.hang_up),
        (ANY, _I.END, _S.CLOSING, close),
        (ANY, _I.CUT, _S.CLOSING, cut),
        (ANY, _I.LOST, _S.OVER, ConversationCore.finish),
    ],
)


class Conversation(ConversationCore):
    """One connection's conversation. Step it with what happens (`Input`); it does the rest, and writes its log line."""

    __slots__ = ()

    def __init__(
        self,
        shared: Conversations,
        transport: ClientTransport,
        sender: Sender,
        peer: str,
        port: int,
        trace: Trace | None = None,
    ) -> None:
        """`transport` is a Twisted transport, `sender` writes to it, `peer` is the IP address at its other end."""
        super().__init__(CONVERSATION, shared, transport, sender, peer, port, trace)

    @property
    def busy(self) -> bool:
        """Whether a call is being answered."""
        return bool(self.calls)

    @property
    def answered(self) -> bool:
        """Whether the client has its answer and has asked nothing since."""
        return self.state is State.IDLE

    def end(self, reason: Reason, detail: str) -> None:
        """Close the connection from our side, saying why in its log line."""
        self.step(Input.END, Cause(reason, detail))

    def cut(self, reason: Reason, detail: str) -> None:
        """End the connection at once, even if calls are under way."""
        self.step(Input.CUT, Cause(reason, detail))
