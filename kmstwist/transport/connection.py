"""A connection to a KMS host: a Twisted protocol that moves bytes for a `ClientAssociation`.

It binds as soon as it is connected. From then on each `call` returns a Deferred that fires with the response or fails
with an `UpstreamError`. Nothing here has a timeout of its own: the caller sets one (`addTimeout`), since a gateway's
call and a probe may wait for different times.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from twisted.internet import tcp
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectBindError, DNSLookupError, NoRouteError
from twisted.internet.error import ConnectionRefusedError as TwistedConnectionRefused
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from kmstwist.kms.activation import REQUEST_ACTIVATION, decode_response, encode_request
from kmstwist.kms.interface import KMS_INTERFACE, WINDOWS_CONTEXTS
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    AcceptedContext,
    BindRejected,
    Bound,
    ClientAssociation,
    ClientEvent,
    FaultReceived,
    PresentationContext,
    ResponseReceived,
    ServerBroke,
    ShutdownRequested,
    StubError,
)
from kmstwist.transport.asker import Asker, Waiting
from kmstwist.transport.errors import (
    BindError,
    ConnectError,
    FaultError,
    LostError,
    NoRoomError,
    SourceError,
    TimedOut,
    UpstreamError,
    reject_name,
)
from kmstwist.transport.fdset import join_set
from kmstwist.transport.sending import Sender

#: The kernel's errors when there is no room for one more socket.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
#: How many bytes one host may have read before the others get their turn. An answer has about 300.
_READ: Final = 2048
#: How often a host may ask to end the connection while a call is under way; once is enough.
_MOST_SHUTDOWNS: Final = 8


class RpcConnection(Protocol):
    """One connection with its association. `bound` fires once, when the server has answered the bind."""

    transport: ITCPTransport | None

    def __init__(self, contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS) -> None:
        self.association = ClientAssociation()
        self.bound: Deferred[Bound] = Deferred(lambda _: self.abort())
        self.alive = False
        #: Set while an owner wants to hear when the connection ends (a pool that keeps it in reserve).
        self.when_lost: Callable[[RpcConnection], None] | None = None
        self._contexts = contexts
        #: Whether the host has asked to end the connection.
        self._shutting_down = False
        self._shutdowns = 0
        self._sender: Sender
        self._waiting: dict[int, Deferred[ResponseReceived]] = {}
        #: Who waits for an activation's answer, which is decoded here.
        self._activating: dict[int, Asker] = {}
        #: The context of the KMS interface, once it is needed.
        self._kms: AcceptedContext | None = None
        self._altering: dict[int, Deferred[Bound]] = {}

    def connectionMade(self) -> None:
        """Bind at once."""
        self.alive = True
        transport: Any = self.transport
        transport.bufferSize = _READ
        if isinstance(transport, tcp.Connection):
            join_set(transport)
        self._sender = Sender(transport)
        self.association.bind(self._contexts)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Feed the association and act on its events."""
        events = self.association.receive_data(data)
        # A shutdown that arrives together with a response must be known before the response is handed out.
        if len(events) > 1:
            self._shutting_down |= any(type(event) is ShutdownRequested for event in events)
        for event in events:
            if type(event) is not ResponseReceived:
                self._handle(event)
                continue
            if self._shutting_down:
                self._close_if_asked()
            activating = self._activating.pop(event.call_id, None)
            if activating is None:
                waiting = self._waiting.pop(event.call_id, None)
                if waiting is not None:
                    waiting.callback(event)
                continue
            try:
                hresult, message = decode_response(event.stub, ndr64=event.ndr64, little_endian=event.little_endian)
            except StubError as error:
                text = f"the response does not unmarshal: {error}"
                activating.failed(UpstreamError(text, Reason.UPSTREAM_PROTOCOL))
            else:
                activating.answered(hresult, message)
        if self.association.unsent:
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all calls that still wait."""
        self.alive = False
        # The transport has what has this: together they would be left to the garbage collector.
        self.transport = None
        self._sender.let_go()
        self._fail_all(LostError(f"the connection ended: {reason.getErrorMessage().rstrip('.')}"))
        if self.when_lost is not None:
            self.when_lost(self)

    def call(self, context: AcceptedContext, opnum: int, stub: bytes) -> Deferred[ResponseReceived]:
        """Make a call; fires with the response, fails with an `UpstreamError`. Cancelling it drops the connection."""
        if not self.alive:
            return fail(LostError("the connection had ended"))
        call_id = self.association.call(context, opnum, stub)
        answer: Deferred[ResponseReceived] = Deferred(self._given_up)
        self._waiting[call_id] = answer
        self._flush()
        return answer

    def alter(self, contexts: Sequence[PresentationContext]) -> Deferred[Bound]:
        """Propose further contexts; fires with the results."""
        answer: Deferred[Bound] = Deferred(self._given_up)
        self._altering[self.association.alter(contexts)] = answer
        self._flush()
        return answer

    def request_activation(self, message: bytes) -> Deferred[tuple[int, bytes]]:
        """RequestActivation: fires with the HRESULT and the response message (empty unless the HRESULT is 0).

        Fails with an `UpstreamError`. Cancelling it drops the connection.
        """
        answer: Deferred[tuple[int, bytes]] = Deferred(self._given_up)
        self.ask(message, Waiting(answer))
        return answer

    def ask(self, message: bytes, asker: Asker) -> None:
        """RequestActivation, for an asker that is told. It may be told at once that this failed."""
        association = self.association
        context = self._kms
        if context is None:
            context = self._kms = association.context_for(KMS_INTERFACE)
            if context is None:
                asker.failed(BindError("the host does not have the KMS interface"))
                return
        if not self.alive:
            asker.failed(LostError("the connection had ended"))
            return
        stub = encode_request(message, ndr64=context.ndr64)
        call_id = association.call(context, REQUEST_ACTIVATION, stub)
        self._activating[call_id] = asker
        unsent = association.unsent
        self._sender.send(unsent.pop() if len(unsent) == 1 else association.data_to_send())

    def _given_up(self, answer: Deferred[tuple[int, bytes]]) -> None:
        """Drop the connection, so that a late answer cannot be mistaken for another call's."""
        self.abort()

    def close(self) -> None:
        """Close the connection cleanly. No further call may be made on it."""
        self.alive = False
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.alive = False
        if self.transport is not None:
            self.transport.abortConnection()

    def _flush(self) -> None:
        data = self.association.data_to_send()
        if data:
            self._sender.send(data)

    def _handle(self, event: ClientEvent) -> None:
        """Act on anything but a response."""
        if isinstance(event, FaultReceived):
            self._close_if_asked()
            fault = FaultError(event.status, event.did_not_execute)
            activating = self._activating.pop(event.call_id, None)
            if activating is not None:
                activating.failed(fault)
            waiters: tuple[dict[int, Deferred[Any]], ...] = (self._waiting, self._altering)
            for waiting_for in waiters:
                failed = waiting_for.pop(event.call_id, None)
                if failed is not None:
                    failed.errback(fault)
        elif isinstance(event, Bound):
            self._handle_bound(event)
        elif isinstance(event, BindRejected):
            self._fail_all(BindError(f"the host refused the bind: {reject_name(event.reject_reason)}"))
            self.close()
        elif isinstance(event, ServerBroke):
            self._fail_all(UpstreamError(event.detail, event.reason))
            self.abort()
        elif type(event) is ShutdownRequested:
            self._shutting_down = True
            self._shutdowns += 1
            if self._shutdowns > _MOST_SHUTDOWNS:
                self._fail_all(UpstreamError("it kept asking for the connection's end", Reason.UPSTREAM_PROTOCOL))
                self.abort()
            else:
                self._close_if_asked()

    def _close_if_asked(self) -> None:
        """Close when the host has asked for it and the last call is answered.

        This happens before the answer is handed out, so that a pool does not keep the connection.
        """
        if self._shutting_down and not self.association.calls_under_way:
            self.close()

    def _handle_bound(self, event: Bound) -> None:
        if not self.bound.called:
            self.bound.callback(event)
        else:
            self._close_if_asked()
            # Answers to alter_contexts come in the order in which they were sent.
            altering = self._altering.pop(next(iter(self._altering)))
            altering.callback(event)

    def _fail_all(self, error: UpstreamError) -> None:
        waiting: list[Deferred[Any]] = [*self._waiting.values(), *self._altering.values()]
        activating, self._activating = self._activating, {}
        self._waiting.clear()
        self._altering.clear()
        for asker in activating.values():
            asker.failed(error)
        for deferred in waiting:
            if not deferred.called:
                deferred.errback(error)
        if not self.bound.called:
            self.bound.errback(error)


def connect(
    clock: IReactorTime,
    endpoint: IStreamClientEndpoint,
    timeout: float,
    contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS,
) -> Deferred[RpcConnection]:
    """Connect and bind, within `timeout` seconds each. Fires with the bound connection, fails with `UpstreamError`."""

    def connected(protocol: RpcConnection) -> Deferred[RpcConnection]:
        protocol.bound.addTimeout(timeout, clock, onTimeoutCancel=bind_timed_out)
        return protocol.bound.addCallback(lambda _: protocol)

    return open_connection(endpoint, contexts).addCallback(connected)


def open_connection(
    endpoint: IStreamClientEndpoint, contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS
) -> Deferred[RpcConnection]:
    """Connect only: fires as soon as the bind has been sent; `RpcConnection.bound` fires with its outcome."""
    attempt: Deferred[Any] = endpoint.connect(_Once(contexts))
    return attempt.addErrback(_explain_connect)


class _Once(Factory):
    """Makes the protocol of one connection.

    Twisted's `connectProtocol` makes a class for each connection to do so, which only the garbage collector frees, and
    the connection with it. So would a protocol be that is made before, if nobody answers.
    """

    noisy = False

    def __init__(self, contexts: Sequence[PresentationContext]) -> None:
        self._contexts: Sequence[PresentationContext] | None = contexts

    def buildProtocol(self, addr: IAddress | None) -> RpcConnection | None:
        contexts, self._contexts = self._contexts, None
        return None if contexts is None else RpcConnection(contexts)


def bind_timed_out(result: object, timeout: float) -> NoReturn:
    """For `Deferred.addTimeout` on `RpcConnection.bound`."""
    raise TimedOut(f"no answer to the bind within {timeout:g} s")


def call_timed_out(result: object, timeout: float) -> NoReturn:
    """For `Deferred.addTimeout` on a call or an alter_context."""
    raise no_answer(timeout)


def no_answer(timeout: float) -> TimedOut:
    """The error of a call that has no answer after `timeout` seconds."""
    return TimedOut(f"no answer within {timeout:g} s")


def _explain_connect(failure: Failure) -> Failure:
    """Turn any failure to connect into one clear clause and a reason code."""
    if failure.check(UpstreamError):
        return failure
    if failure.check(TwistedConnectionRefused):
        return Failure(ConnectError("connection refused"))
    if failure.check(DNSLookupError):
        return Failure(ConnectError("the name does not resolve", Reason.UPSTREAM_DNS))
    if failure.check(NoRouteError):
        return Failure(ConnectError("no route to the host"))
    if _lacks_room(failure):
        return Failure(NoRoomError(f"no port, file descriptor or memory is left here for it: {_system_error(failure)}"))
    if failure.check(ConnectBindError):
        return Failure(SourceError(f"cannot ask from that address: {_system_error(failure)}"))
    if failure.check(ConnectTimeoutError):
        return Failure(TimedOut("no connection within the timeout"))
    return Failure(ConnectError(f"no connection: {failure.getErrorMessage().rstrip('.')}"))


def _lacks_room(failure: Failure) -> bool:
    number = getattr(failure.value, "osError", None)
    # The kernel gives the same error for a source address that is not ours as for ports that are all in use.
    return number in _NO_ROOM or (number == errno.EADDRNOTAVAIL and not failure.check(ConnectBindError))


def _system_error(failure: Failure) -> str:
    number = getattr(failure.value, "osError", None)
    return os.strerror(number).lower() if isinstance(number, int) else failure.getErrorMessage().rstrip(".")
