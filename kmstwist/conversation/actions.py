"""The actions of a conversation's table. Each takes the conversation and the input's own data.

The actions that every call needs are in `core`.
"""

from __future__ import annotations

from kmstwist.conversation.core import ConversationCore
from kmstwist.conversation.lines import Cause
from kmstwist.conversation.proxy import BrokenHeader, begins_as_header
from kmstwist.conversation.states import Input
from kmstwist.reasons import Reason


def read_header(conversation: ConversationCore, data: bytes) -> None:
    """Read the balancer's header; the bytes after it are the client's."""
    try:
        rest = conversation.learn_client(data)
    except BrokenHeader as error:
        conversation.step(Input.REFUSED, Cause(Reason.ADMISSION_PROXY, f"the balancer sent {error}"))
    else:
        if rest:
            conversation.step(Input.BYTES, rest)


def begin(conversation: ConversationCore, data: bytes) -> None:
    """Take the client's first bytes, and start the request's deadline; only a balancer may send a header."""
    if conversation.log.proxy is None and begins_as_header(data):
        refusal = Cause(Reason.ADMISSION_PROXY, "a PROXY header from an address that is not in proxy_from")
        conversation.step(Input.CUT, refusal)
    else:
        ask(conversation, data)


def ask(conversation: ConversationCore, data: bytes) -> None:
    """Start the request's deadline, and take the client's bytes."""
    conversation.give_time(conversation.shared.times.request)
    conversation.take(data)


def linger(conversation: ConversationCore, cause: Cause) -> None:
    """Let the client read the refusal: closing with unread bytes would reset the connection and lose the refusal."""
    conversation.ended_by_us(cause)
    conversation.log.refused(cause)
    for call in list(conversation.calls):
        conversation.give_up(call, *cause)
    if conversation.association.unsent:
        conversation.flush()
    conversation.give_time(conversation.shared.times.linger)
    conversation.transport.loseWriteConnection()


def stop_lingering(conversation: ConversationCore, seconds: float) -> None:
    """Close: the client has had its time to read the refusal."""
    conversation.transport.abortConnection()


def let_go(conversation: ConversationCore) -> None:
    """Close: the client has read the refusal and closed its side."""
    conversation.transport.loseConnection()


def cut_silent(conversation: ConversationCore, seconds: float) -> None:
    """Close: the client has sent nothing for too long."""
    cut(conversation, Cause(Reason.CLIENT_IDLE, f"nothing for {seconds:g} s"))


def cut_slow(conversation: ConversationCore, seconds: float) -> None:
    """Close: the client has not completed its request in time, or has sent nothing at all."""
    if conversation.log.bound_at is None or conversation.association.buffered:
        cut(conversation, Cause(Reason.CLIENT_SLOW, f"no whole request within {seconds:g} s of its first byte"))
    else:
        cut_silent(conversation, seconds)


def cut_old(conversation: ConversationCore, seconds: float) -> None:
    """Close: the connection has been open for as long as a connection may be."""
    cut(conversation, Cause(Reason.CLIENT_TOTAL, f"open for {conversation.shared.times.total.seconds:g} s"))


def close(conversation: ConversationCore, cause: Cause) -> None:
    """Close the connection when all that was written has been sent."""
    conversation.ended_by_us(cause)
    conversation.transport.loseConnection()


def cut(conversation: ConversationCore, cause: Cause) -> None:
    """Close the connection at once."""
    if conversation.log.ended is None:
        conversation.ended_by_us(cause)
    conversation.transport.abortConnection()


def expect_no_more(conversation: ConversationCore) -> None:
    """The client sends nothing more: answer its whole requests, drop an incomplete one."""
    conversation.association.end_of_input()
