"""What is done in a conversation, as its table names it: given the conversation and what the input carried."""

from __future__ import annotations

from kmstwist.conversation.core import LEFT, ConversationCore
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


def give_request_time(conversation: ConversationCore) -> None:
    """It has been told of further contexts, and may ask in them: it has as long from now as after its bind."""
    conversation.give_time(conversation.shared.times.request)


def give_idle_time(conversation: ConversationCore) -> None:
    """The client has its answer, and may ask again."""
    conversation.give_time(conversation.shared.times.idle)


def stop_time(conversation: ConversationCore) -> None:
    """The request is whole: it is ours to answer, and the client's time does not run."""
    conversation.give_time(None)


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


def give_moment(conversation: ConversationCore) -> None:
    """The answers are out: one turn of the loop, and they are sent."""
    conversation.give_time(conversation.shared.times.moment)


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


def finish(conversation: ConversationCore, went_away: Cause) -> None:
    """The connection is gone: tell the rest of it, and forget it."""
    conversation.leave()
    log, shared = conversation.log, conversation.shared
    end = "client" if log.ended is None else "server"
    if conversation.calls:
        log.tell(end)
        for call in list(conversation.calls):
            conversation.give_up(call, *(log.ended or LEFT))
            log.tell(end)
    rest = log.tell_of_the_rest(end, went_away)
    if rest is not None:
        shared.recorder.note_refusal(rest)
    shared.conversations += 1
    if shared.when_idle is not None and not shared.connections:
        shared.when_idle()
