"""What a conversation is made of, below its table: what it works on, and the actions that the table names.

A connection has deadlines: for its first byte, for a whole request, for the next request after an answer, and one over
all. Nothing that a client sends within such a time moves its end, so bytes fed one by one buy nothing. Answering a
call has no deadline here; the activator has its own.
"""

from __future__ import annotations

from typing import Any, Final

from kmstwist.conversation.calls import CallUnderWay
from kmstwist.conversation.lines import Cause, ConnectionLog
from kmstwist.conversation.proxy import BrokenHeader, HeaderReader, begins_as_header
from kmstwist.conversation.shared import Conversations
from kmstwist.conversation.states import Input, State
from kmstwist.kms import interface
from kmstwist.machine import Machine, Table, Trace
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.reasons import Reason
from kmstwist.rpc import Call, CallOrphaned, CallReceived, Ended, Refused, ServerAssociation, StubError
from kmstwist.transport.sending import close_when_sent, send_at_once

#: A fair size for a PDU, in bytes.
_ORDINARY: Final = 256
_LEFT: Final = Cause(Reason.CLIENT_LOST, "the client left before its answer")


class ConversationCore(Machine[State, Input]):
    """What a conversation works on (the transport, the RPC association, the calls under way), and with what."""

    __slots__ = (
        "_deadline",
        "_header",
        "_named",
        "association",
        "calls",
        "in_step",
        "log",
        "noise",
        "shared",
        "transport",
    )

    def __init__(
        self,
        table: Table[State, Input],
        shared: Conversations,
        transport: Any,
        peer: str,
        port: int,
        trace: Trace | None,
    ) -> None:
        super().__init__(table, trace)
        self.shared = shared
        self.transport = transport
        behind_balancer = shared.admission.is_balancer(peer)
        self.log = ConnectionLog(shared.lines, peer, port, peer if behind_balancer else None)
        self.association = ServerAssociation(shared.rpc, shared.port_of(transport), peer)
        #: Calls under way, by what RPC knows them as.
        self.calls: dict[Call, CallUnderWay] = {}
        #: How many PDUs have come since the last call beyond those that their bytes would be, were they ordinary ones.
        self.noise = 0
        #: Whether all that was written has been sent.
        self.in_step = True
        self._header: HeaderReader | None = None
        #: The address under which admission counts the connection; None while it does not.
        self._named: str | None = None
        self._deadline: Deadlines[ConversationCore] | None = None
        self.give_time(shared.times.first_byte)
        shared.times.total.set(self)
        shared.connections.add(self)
        if behind_balancer:
            self._header = HeaderReader()
        else:
            self.step(Input.NAMED)

    # What the deadlines tell.

    def late(self, seconds: float) -> None:
        """The time that was given last is over."""
        self.step(Input.LATE, seconds)

    def total_over(self, seconds: float) -> None:
        """The connection's whole time is over."""
        self.step(Input.TOTAL_OVER, seconds)

    # What a call under way asks of the conversation.

    def reply(self, call: CallUnderWay, stub: bytes) -> None:
        """Send a response; the call is over."""
        if call.account.hresult == 0:
            self.shared.activations += 1
        self.noise = 0
        self.association.respond(call.rpc, stub)
        self.call_over(call)

    def fault(self, call: CallUnderWay, status: int) -> None:
        """Send a fault; the call is over."""
        self.association.fault(call.rpc, status)
        self.call_over(call)

    def call_over(self, call: CallUnderWay) -> None:
        """A call has its answer, or nobody waits for it."""
        self.calls.pop(call.rpc, None)
        self.log.call_over(call.account)
        if self.association.unsent:
            self.flush()
        if not self.calls:
            self.step(Input.ANSWERED)

    # What the machine's actions are made of.

    def learn_client(self, data: bytes) -> bytes:
        """Read on in the balancer's header; what follows it. Raises `BrokenHeader`."""
        reader = self._header
        if reader is None or not reader.feed(data):
            return b""
        self._header = None
        if reader.client is not None:
            self.log.client, self.log.port = reader.client
            self.association.client = self.log.client
        self.step(Input.NAMED)
        return reader.rest

    def count_client(self) -> None:
        """Count the client's connection, now that its client is known; one too many is cut."""
        self._named = client = self.log.client
        refusal = self.shared.admission.opened(client)
        if refusal is not None:
            self.step(Input.CUT, Cause(refusal.reason, refusal.detail))

    def take(self, data: bytes) -> None:
        """Take the client's bytes: feed the association, act on its events, send what it has to send."""
        log, association = self.log, self.association
        if log.held is not None:
            log.tell("open")
        log.bytes_in += len(data)
        answered, altered = association.answered, association.altered
        statistics = self.shared.rpc.statistics
        before = statistics.packets_in
        for event in association.receive_data(data):
            if type(event) is CallReceived:
                self._begin_call(event.call)
            elif isinstance(event, CallOrphaned):
                self.give_up(event.call, Reason.CLIENT_ORPHANED, "the client gave the call up")
            elif isinstance(event, Refused):
                log.refused(Cause(event.reason, event.detail))
            elif isinstance(event, Ended):
                self.step(Input.BROKE_RULES, Cause(event.reason, event.detail))
        if log.bound_at is None and association.group is not None:
            log.bound_at = self.shared.clock.seconds()
        if association.unsent:
            self.flush()
        packets = statistics.packets_in - before
        self.noise = max(0, self.noise + packets - len(data) // _ORDINARY)
        refusal = self.shared.admission.judge_packets(log.client, packets)
        if refusal is not None:
            self.step(Input.CUT, Cause(refusal.reason, refusal.detail))
        if self.state is State.ASKING:
            # A call answered by the association itself, of the management interface or refused, is one like any other.
            if association.answered > answered:
                self.step(Input.ANSWERED)
            elif association.altered > altered:
                self.step(Input.ALTERED)

    def flush(self) -> None:
        """Send what the association has to send."""
        data = self.association.data_to_send()
        self.log.bytes_out += len(data)
        self.in_step = send_at_once(self.transport, data, self.in_step)

    def give_time(self, deadline: Deadlines[ConversationCore] | None) -> None:
        """Set this deadline in place of the one before."""
        before = self._deadline
        if before is not None:
            before.pop(self, None)
        self._deadline = deadline
        if deadline is not None:
            deadline.set(self)

    def give_up_calls(self, reason: Reason, detail: str) -> None:
        """Nobody waits for the calls under way any more."""
        for call in list(self.calls):
            self.give_up(call, reason, detail)

    def give_up(self, rpc: Call, reason: Reason, detail: str) -> None:
        """Nobody waits for a call any more."""
        call = self.calls.get(rpc)
        if call is not None:
            call.give_up(reason, detail)
            self.call_over(call)

    def ended_by_us(self, cause: Cause) -> None:
        """We close the connection; the transport may do so when it has sent what it has."""
        if self.log.ended is None:
            self.transport.unregisterProducer()
        self.log.ended = cause

    def leave(self) -> None:
        """Be forgotten by all who know of the connection."""
        self.give_time(None)
        self.shared.times.total.pop(self, None)
        self.shared.connections.discard(self)
        self.association.connection_lost()
        if self._named is not None:
            self.shared.admission.closed(self._named)

    def _begin_call(self, rpc: Call) -> None:
        message, broken = b"", ""
        try:
            message = interface.decode_request(rpc.stub, ndr64=rpc.ndr64, little_endian=rpc.little_endian)
        except StubError as error:
            broken = str(error)
        call = self.calls[rpc] = CallUnderWay(rpc, self.log.new_call(message), self, self.shared)
        self.step(Input.CALLED)
        if broken:
            call.account.bytes_in = self.log.bytes_in
            call.refuse_stub(broken)
        else:
            call.begin()


# The machine's actions: `(conversation, what the input carried)`.


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
    conversation.give_up_calls(*cause)
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
            conversation.give_up(call, *(log.ended or _LEFT))
            log.tell(end)
    rest = log.tell_of_the_rest(end, went_away)
    if rest is not None:
        shared.recorder.note_refusal(rest)
    shared.conversation_ended()
