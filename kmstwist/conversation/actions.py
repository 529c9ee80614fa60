"""What is done in a conversation, as its table names it: given the conversation and what the input carried.

What a call leads to is done in `core`.
"""

from __future__ import annotations

from kmstwist.conversation.core import ConversationCore
from kmstwist.conversation.lines import Cause
from kmstwist.conversation.proxy import BrokenHeader, begins_as_header
from kmstwist.conversation.states import Input
from kmstwist.reasons import Reason
from kmstwist.transport.sending import close_when_sent


def read_header(conversation: ConversationCore, data: bytes) -> None:
    """Read the balancer's header, and take what follows it for the client's."""
    try:
        rest = conversation.learn_client(data)
    except BrokenHeader as error:
        conversation.step(Input.REFUSED, Cause(Reason.ADMISSION_PROXY, f"the balancer sent {error}"))
    else:
        if rest:
            conversation.step(Input.BYTES, rest)


def begin(conversation: ConversationCore, data: bytes) -> None:
    """Take the client's first bytes, and give it the request's time; a header may come from balancers only."""
    if conversation.log.proxy is None and begins_as_header(data):
        refusal = Cause(Reason.ADMISSION_PROXY, "a PROXY header from an address that is not in proxy_from")
        conversation.step(Input.CUT, refusal)
    else:
        ask(conversation, data)


def ask(conversation: ConversationCore, data: bytes) -> None:
    """Give the client the request's time, and take its bytes."""
    conversation.give_time(conversation.shared.times.request)
    conversation.take(data)


def linger(conversation: ConversationCore, cause: Cause) -> None:
    """Let the client read the refusal: closing with its bytes unread would reset the connection and lose it."""
    conversation.ended_by_us(cause)
    conversation.log.refused(cause)
    for call in list(conversation.calls):
        conversation.give_up(call, *cause)
    if conversation.association.unsent:
        conversation.flush()
    conversation.give_time(conversation.shared.times.linger)
    conversation.transport.loseWriteConnection()


def stop_lingering(conversation: ConversationCore, seconds: float) -> None:
    """The client has had its moment."""
    conversation.transport.abortConnection()


def let_go(conversation: ConversationCore) -> None:
    """It has read the refusal, and closed."""
    conversation.transport.loseConnection()


def cut_silent(conversation: ConversationCore, seconds: float) -> None:
    """It has sent nothing for too long."""
    cut(conversation, Cause(Reason.CLIENT_IDLE, f"nothing for {seconds:g} s"))


def cut_slow(conversation: ConversationCore, seconds: float) -> None:
    """It has sent no whole request, or, with nothing begun, nothing."""
    if conversation.log.bound_at is None or conversation.association.buffered:
        cut(conversation, Cause(Reason.CLIENT_SLOW, f"no whole request within {seconds:g} s of its first byte"))
    else:
        cut_silent(conversation, seconds)


def cut_old(conversation: ConversationCore, seconds: float) -> None:
    """It was open for as long as a connection may be."""
    cut(conversation, Cause(Reason.CLIENT_TOTAL, f"open for {conversation.shared.times.total.seconds:g} s"))


def close(conversation: ConversationCore, cause: Cause) -> None:
    """Close it, when what is written has been sent."""
    conversation.ended_by_us(cause)
    conversation.transport.loseConnection()


def cut(conversation: ConversationCore, cause: Cause) -> None:
    """Close it at once."""
    if conversation.log.ended is None:
        conversation.ended_by_us(cause)
    conversation.transport.abortConnection()


def expect_no_more(conversation: ConversationCore) -> None:
    """The client sends nothing more: what it has asked is answered, what it has begun to ask is dropped."""
    conversation.association.end_of_input()


def hang_up(conversation: ConversationCore) -> None:
    """The last is said on both sides: close, when what is written has been sent."""
    conversation.transport.unregisterProducer()
    close_when_sent(conversation.transport, conversation.in_step)
