"""A conversation without its table: its data, and those of its actions that every call needs.

A connection has deadlines: for its first byte, for a whole request, for the next request after an answer, and for the
whole connection. Nothing that a client sends extends a deadline, so it gains nothing by sending bytes one by one.
Answering a call has no deadline here; the activator has its own.
"""

from __future__ import annotations

from typing import Final

from kmstwist.conversation.calls import CallUnderWay
from kmstwist.conversation.conversations import Conversations, Timed
from kmstwist.conversation.host_checks import CheckUnderWay
from kmstwist.conversation.lines import Cause, ConnectionLog
from kmstwist.conversation.proxy import HeaderReader
from kmstwist.conversation.states import Input, State
from kmstwist.kms.reach import REACH
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.reasons import Reason
from kmstwist.rpc import Call, CallOrphaned, CallReceived, Ended, Refused, ServerAssociation
from kmstwist.statemachine import Machine, Table, Trace
from kmstwist.transport.sending import ClientTransport, Sender

#: The size of an ordinary PDU, in bytes.
_ORDINARY: Final = 256
#: Why a call ends when its client is gone.
_LEFT: Final = Cause(Reason.CLIENT_LOST, "the client left before its answer")


class ConversationCore(Machine[State, Input]):
    """A conversation's data (the transport, the RPC association, the calls under way) and the methods on it."""

    __slots__ = (
        "_deadline",
        "_header",
        "_named",
        "_total",
        "association",
        "calls",
        "log",
        "noise",
        "sender",
        "shared",
        "transport",
    )

    def __init__(
        self,
        table: Table[State, Input],
        shared: Conversations,
        transport: ClientTransport,
        sender: Sender,
        peer: str,
        port: int,
        trace: Trace | None,
    ) -> None:
        super().__init__(table, trace)
        self.shared = shared
        self.transport = transport
        self.sender = sender
        behind_balancer = shared.admission.is_balancer(peer)
        self.log = ConnectionLog(shared.lines, peer, port, peer if behind_balancer else None)
        self.association = ServerAssociation(shared.rpc, shared.port_of(transport), peer, trace)
        #: Calls under way, by RPC's object for each.
        self.calls: dict[Call, CallUnderWay | CheckUnderWay] = {}
        #: How many more PDUs have come since the last call than their bytes would make at the ordinary size.
        self.noise = 0
        self._header: HeaderReader | None = None
        #: The address under which admission counts the connection; None while it is not counted.
        self._named: str | None = None
        self._deadline: Deadlines[Timed] | None = None
        self.give_time(shared.times.first_byte)
        #: The queue of its whole time: a reload may have given others another one by the end.
        self._total = shared.times.total
        self._total.set(self)
        shared.connections.add(self)
        if behind_balancer:
            self._header = HeaderReader()
        else:
            self.step(Input.NAMED)

    # Called by the deadlines.

    def late(self, seconds: float) -> None:
        """The deadline that was started last has passed."""
        self.step(Input.LATE, seconds)

    def total_over(self, seconds: float) -> None:
        """The deadline of the whole connection has passed."""
        self.step(Input.TOTAL_OVER, seconds)

    # Called by the conversation of a client for which there is no room.

    @property
    def counted(self) -> bool:
        """Whether admission counts the connection, so that another can have its place."""
        return self._named is not None

    def make_room(self, detail: str) -> None:
        """Give the place to a client that has just come."""
        self.give_time(None)
        self.step(Input.CUT, Cause(Reason.SERVER_CONNECTIONS, f"{detail}, and this one had waited longest"))

    # Called by calls under way.

    def call_over(self, call: CallUnderWay | CheckUnderWay, stub: bytes | None = None, status: int = 0) -> None:
        """A call is over: send its response, or a fault of this status; neither if nobody waits for it any more."""
        self.calls.pop(call.rpc, None)
        account, log, association = call.account, self.log, self.association
        if account is not None and log.held is not None:
            # Before this call's bytes are counted.
            log.tell("open")
        if stub is not None:
            association.respond(call.rpc, stub)
            if account is not None:
                self.noise = 0
                if account.hresult == 0:
                    self.shared.activations += 1
        elif status:
            association.fault(call.rpc, status)
        unsent = association.unsent
        if unsent:
            # As `flush` does, without the call of it.
            data = unsent.pop() if len(unsent) == 1 else association.data_to_send()
            log.bytes_out += len(data)
            self.sender.send(data)
        if account is not None:
            log.call_over(account)
        if not self.calls:
            self.step(Input.ANSWERED)

    def check_refused(self, cause: Cause) -> None:
        """Note why a check was refused."""
        self.log.refused(cause)

    # The machine's actions that every call needs; the others are in `actions`.

    def give_request_time(self) -> None:
        """The client's further contexts were accepted: start the request's deadline again, as after its bind."""
        self.give_time(self.shared.times.request)

    def give_idle_time(self) -> None:
        """The client has its answer and may ask again: start the idle deadline."""
        self.give_time(self.shared.times.idle)

    def stop_time(self) -> None:
        """The request is whole, and it is our turn to answer: stop the client's deadline."""
        self.give_time(None)

    def give_moment(self) -> None:
        """The answers are written: wait one turn of the loop until they are sent."""
        self.give_time(self.shared.times.moment)

    def hang_up(self) -> None:
        """Both sides are done: close the connection when all that was written has been sent."""
        self.sender.close()

    def finish(self, went_away: Cause) -> None:
        """The connection is gone: write its last lines, and forget it."""
        self.leave()
        log, shared = self.log, self.shared
        end = "client" if log.ended is None else "server"
        if self.calls:
            log.tell(end)
            for call in list(self.calls):
                self.give_up(call, *(log.ended or _LEFT))
                log.tell(end)
        rest = log.tell_of_the_rest(end, went_away)
        if rest is not None:
            shared.recorder.note_refusal(rest)
        # The protocol, which has the conversation: no cycle is left, and the collector has nothing to look for.
        self.sender.producer = None
        shared.conversations += 1
        if shared.when_idle is not None and not shared.connections:
            shared.when_idle()

    # Called by the machine's actions.

    def learn_client(self, data: bytes) -> bytes:
        """Read more of the balancer's header. Returns the bytes after it. Raises `BrokenHeader`."""
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
        """Count the connection, now that its client is known; close it if the client has too many.

        If there are too many in all, the one that has waited longest for its client's next bytes is closed for it.
        """
        self._named = client = self.log.client
        refusal = self.shared.admission.opened(client)
        if refusal is None:
            return
        going = self.shared.times.longest_waited(self) if refusal.reason is Reason.SERVER_CONNECTIONS else None
        if going is None:
            self.step(Input.CUT, Cause(refusal.reason, refusal.detail))
        else:
            going.make_room(refusal.detail)

    def take(self, data: bytes) -> None:
        """Take the client's bytes: feed the association, act on its events, send its bytes."""
        log, association = self.log, self.association
        if log.held is not None:
            log.tell("open")
        log.bytes_in += len(data)
        answered, altered = association.answered, association.altered
        statistics = self.shared.rpc.statistics
        before = statistics.packets_in
        for event in association.receive_data(data):
            if type(event) is CallReceived:
                rpc = event.call
                self.step(Input.CALLED)
                kind = CheckUnderWay if rpc.context.interface is REACH else CallUnderWay
                call = self.calls[rpc] = kind(rpc, self, self.shared)
                call.begin()
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
        noise = self.noise + packets - len(data) // _ORDINARY
        self.noise = noise if noise > 0 else 0
        admission, client = self.shared.admission, log.client
        if client not in admission.free and (refusal := admission.judge_packets(client, packets)) is not None:
            self.step(Input.CUT, Cause(refusal.reason, refusal.detail))
        if self.state is State.ASKING:
            # A call that the association answered itself (a management call, or a refused one) counts like any other.
            if association.answered > answered:
                log.checked = True
                self.step(Input.ANSWERED)
            elif association.altered > altered:
                self.step(Input.ALTERED)

    def flush(self) -> None:
        """Send the association's bytes."""
        unsent = self.association.unsent
        # Nearly always one PDU, which is an answer.
        data = unsent.pop() if len(unsent) == 1 else self.association.data_to_send()
        self.log.bytes_out += len(data)
        self.sender.send(data)

    def give_time(self, deadline: Deadlines[Timed] | None) -> None:
        """Start this deadline in place of the previous one."""
        if self._deadline is not None:
            self._deadline.pop(self, None)
        self._deadline = deadline
        if deadline is not None:
            # As `set`, without the call of it: the previous deadline may have been of the same queue, and is lifted.
            deadline[self] = self.shared.clock.seconds() + deadline.seconds
            if deadline.timer is None:
                deadline.start()

    def give_up(self, rpc: Call, reason: Reason, detail: str) -> None:
        """Give a call up: nobody waits for its answer any more."""
        call = self.calls.get(rpc)
        if call is not None:
            call.give_up(reason, detail)
            self.call_over(call)

    def ended_by_us(self, cause: Cause) -> None:
        """Note that we close the connection, and why; the transport may close after it has sent its bytes."""
        if self.log.ended is None:
            self.transport.unregisterProducer()
        self.log.ended = cause

    def leave(self) -> None:
        """Remove the connection from everything that knows of it."""
        self.give_time(None)
        self._total.pop(self, None)
        self.shared.connections.discard(self)
        self.association.connection_lost()
        if self._named is not None:
            self.shared.admission.closed(self._named)
