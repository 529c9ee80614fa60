"""Lab clients over real connections: one conversation for each activation, as with a Windows client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from kmstwist.clock import now
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient, Outcome
from kmstwist.transport.connection import call_timed_out, connect
from kmstwist.transport.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class WireOutcome:
    """The outcome of an activation over the wire, and how many milliseconds each step took."""

    outcome: Outcome
    connect_ms: float
    call_ms: float


def activate(
    client: LabClient, cipher: LabCipher, endpoint: IStreamClientEndpoint, clock: IReactorTime, timeout: float
) -> Deferred[WireOutcome]:
    """Connect, bind, ask once, close. Each step within `timeout` seconds; fails with an `UpstreamError`."""
    return Deferred.fromCoroutine(_activate(client, cipher, endpoint, clock, timeout))


async def _activate(
    client: LabClient, cipher: LabCipher, endpoint: IStreamClientEndpoint, clock: IReactorTime, timeout: float
) -> WireOutcome:
    started = clock.seconds()
    connection = await connect(clock, endpoint, timeout)
    bound = clock.seconds()
    try:
        hresult, message = await connection.request_activation(client.seal_request(cipher, now())).addTimeout(
            timeout, clock, onTimeoutCancel=call_timed_out
        )
    finally:
        connection.close()
    answered = clock.seconds()
    outcome = client.process_message(cipher, hresult, message, now())
    return WireOutcome(outcome, (bound - started) * 1000, (answered - bound) * 1000)


@dataclass(frozen=True, slots=True)
class Asked:
    """One client and its outcome, or why there was no answer."""

    client: LabClient
    result: WireOutcome | UpstreamError


def activate_all(
    clients: Sequence[LabClient],
    ask: Callable[[LabClient], Deferred[WireOutcome]],
    at_once: int,
    answered: Callable[[], None],
) -> Deferred[list[Asked]]:
    """Let every client ask, `at_once` at a time, in order; `answered` is called as each is done.

    The first asks alone: if it gets no answer, the others do not ask, and the list has one entry.
    """
    return Deferred.fromCoroutine(_activate_all(clients, ask, at_once, answered))


async def _activate_all(
    clients: Sequence[LabClient],
    ask: Callable[[LabClient], Deferred[WireOutcome]],
    at_once: int,
    answered: Callable[[], None],
) -> list[Asked]:
    async def one(client: LabClient) -> Asked:
        try:
            result: WireOutcome | UpstreamError = await ask(client)
        except UpstreamError as error:
            result = error
        answered()
        return Asked(client, result)

    first = await one(clients[0])
    if isinstance(first.result, UpstreamError):
        return [first]
    turns = DeferredSemaphore(at_once)
    return [first, *await gatherResults([turns.run(one, client) for client in clients[1:]])]
