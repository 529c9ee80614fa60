"""An RPC-level health check of any KMS host, kmstwist or genuine. It does not ask for an activation.

It connects, binds as a Windows client does, adds the management interface with an alter_context and asks whether the
server listens. Unlike a TCP check, it distinguishes "the port is open" from "a KMS host answers there".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from kmstwist.findings import Health
from kmstwist.kms import reach
from kmstwist.kms.interface import KMS_INTERFACE, MANAGEMENT_CONTEXTS
from kmstwist.kms.reach import CHECK_HOSTS, REACH_CONTEXTS, REACH_INTERFACE, Reach, Role
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    Bound,
    ContextOutcome,
    ContextResult,
    PresentationContext,
    ProviderReason,
    StubError,
    feature_bits,
    mgmt,
)
from kmstwist.transport.connection import RpcConnection, bind_timed_out, call_timed_out, open_connection
from kmstwist.transport.errors import FaultError, UpstreamError


@dataclass(slots=True)
class ContextReport:
    """The outcome of one proposed context, in words; `encoding` is NDR32 or NDR64 if it proposed the KMS interface."""

    proposed: str
    outcome: str
    accepted: bool
    encoding: str = ""


@dataclass(slots=True)
class ProbeReport:
    """What a probe found. Durations are in milliseconds; a step that was not reached has None."""

    health: Health = Health.DOWN
    summary: str = ""
    #: Why the host is down; `Reason.OK` if it is not.
    reason: Reason = Reason.OK
    connect_ms: float | None = None
    bind_ms: float | None = None
    management_ms: float | None = None
    listening: bool | None = None
    secondary_address: str = ""
    fragment_size: int = 0
    contexts: list[ContextReport] = field(default_factory=list)
    #: What a gateway found out about the hosts behind it, if it was asked and answered.
    through: Reach | None = None
    #: Whether the question failed because the peer cannot be asked about hosts behind it.
    unknown: bool = False

    @property
    def is_kms(self) -> bool:
        """Whether the KMS interface is offered there, whatever the rest of the report says."""
        return any(context.accepted and context.encoding for context in self.contexts)


def probe(
    clock: IReactorTime, endpoint: IStreamClientEndpoint, timeout: float, *, through: bool = False
) -> Deferred[ProbeReport]:
    """Probe the host behind `endpoint`, each step within `timeout` seconds. Fires with a report and never fails.

    `through` makes a gateway ask the hosts behind it, which takes up to `reach.PATIENCE` seconds more.
    """
    return Deferred.fromCoroutine(_probe(clock, endpoint, timeout, through))


async def _probe(clock: IReactorTime, endpoint: IStreamClientEndpoint, timeout: float, through: bool) -> ProbeReport:
    report = ProbeReport()
    started = clock.seconds()
    try:
        connection = await open_connection(endpoint)
    except UpstreamError as error:
        report.summary, report.reason = error.detail, error.reason
        return report
    report.connect_ms = _since(clock, started)
    try:
        started = clock.seconds()
        bound = await connection.bound.addTimeout(timeout, clock, onTimeoutCancel=bind_timed_out)
        report.bind_ms = _since(clock, started)
        _describe_bind(report, connection, bound)
        if connection.association.context_for(KMS_INTERFACE) is None:
            report.summary = "RPC answers, but the KMS interface is not offered there"
            report.reason = Reason.UPSTREAM_BIND_REJECTED
            return report
        started = clock.seconds()
        await _ask_management(clock, connection, report, timeout)
        report.management_ms = _since(clock, started)
        if through and report.health is not Health.DOWN:
            await _ask_through(clock, connection, report, timeout)
    except UpstreamError as error:
        report.summary = error.detail
        report.unknown = through and report.health is not Health.DOWN
        if report.health is Health.DOWN:
            report.reason = error.reason
    finally:
        connection.close()
    return report


async def _ask_management(clock: IReactorTime, connection: RpcConnection, report: ProbeReport, timeout: float) -> None:
    """Ask is_server_listening. A KMS host that does not answer it gets a warning: its KMS interface is there."""
    report.health = Health.DEGRADED
    try:
        await connection.alter(MANAGEMENT_CONTEXTS).addTimeout(timeout, clock, onTimeoutCancel=call_timed_out)
        context = connection.association.context_for(MGMT_INTERFACE)
        if context is None:
            report.summary = "a KMS host answers; it does not offer the management interface"
            return
        answer = await connection.call(context, mgmt.IS_SERVER_LISTENING, b"").addTimeout(
            timeout, clock, onTimeoutCancel=call_timed_out
        )
        report.listening = mgmt.decode_listening(answer.stub, ndr64=answer.ndr64, little_endian=answer.little_endian)
    except (FaultError, StubError) as error:
        report.summary = f"a KMS host answers; its management interface does not: {error}"
        return
    if report.listening:
        report.health = Health.HEALTHY
        report.summary = "a KMS host answers and listens"
    else:
        # A gateway says this about itself; from a genuine host it would be no better news for a client.
        report.health, report.reason = Health.DOWN, Reason.UPSTREAM_NONE
        report.summary = (
            "something answers, but no KMS host behind it serves calls now: all are down or drained, or it is paused"
        )


async def _ask_through(clock: IReactorTime, connection: RpcConnection, report: ProbeReport, timeout: float) -> None:
    """Make a gateway ask the hosts behind it now."""
    report.unknown = True
    try:
        await connection.alter(REACH_CONTEXTS).addTimeout(timeout, clock, onTimeoutCancel=call_timed_out)
        context = connection.association.context_for(REACH_INTERFACE)
        if context is None:
            report.summary = (
                "a KMS host answers, but nothing behind it could be asked: it is not a kmstwist gateway, or it is an "
                "older one"
            )
            return
        answer = await connection.call(context, CHECK_HOSTS, b"").addTimeout(
            timeout + reach.PATIENCE, clock, onTimeoutCancel=call_timed_out
        )
        found = report.through = reach.decode(answer.stub, ndr64=answer.ndr64, little_endian=answer.little_endian)
    except (FaultError, StubError) as error:
        report.summary = f"a gateway answers, but does not ask the hosts behind it: {error}"
        return
    if found.role is Role.LAB:
        report.summary = "a kmstwist lab answers for itself: there is no host behind it to ask"
        return
    report.unknown = False
    if not found.answered:
        report.health, report.reason = Health.DOWN, Reason.UPSTREAM_NONE
    elif found.answered < found.asked:
        report.health = Health.DEGRADED
    report.summary = f"a gateway answers, and {_hosts(found)}"


def _hosts(found: Reach) -> str:
    if not found.asked:
        return "it has no host to ask: none is configured or found, or all are drained"
    if found.asked == 1:
        return "its host answered" if found.answered else "its host did not answer"
    return f"{found.answered} of its {found.asked} hosts answered"


def _describe_bind(report: ProbeReport, connection: RpcConnection, bound: Bound) -> None:
    report.secondary_address = connection.association.secondary_address
    report.fragment_size = connection.association.fragment_size
    for proposed, outcome in zip(bound.proposed, bound.results, strict=True):
        accepted = outcome.result in (ContextResult.ACCEPTANCE, ContextResult.NEGOTIATE_ACK)
        encoding = _ENCODINGS.get(proposed.transfers[0], "") if proposed.abstract == KMS_INTERFACE else ""
        words = f"KMS in {encoding}" if encoding else _proposal(proposed)
        report.contexts.append(ContextReport(words, _outcome(outcome), accepted, encoding))


_ENCODINGS = {NDR32: "NDR32", NDR64: "NDR64"}


def _proposal(context: PresentationContext) -> str:
    transfer = context.transfers[0]
    bits = feature_bits(transfer)
    return f"bind time features {bits:#x}" if bits is not None else str(transfer)


def _outcome(outcome: ContextOutcome) -> str:
    if outcome.result == ContextResult.ACCEPTANCE:
        return "accepted"
    if outcome.result == ContextResult.NEGOTIATE_ACK:
        return f"accepted {outcome.reason:#x}"
    try:
        return "rejected: " + ProviderReason(outcome.reason).name.lower().replace("_", " ")
    except ValueError:
        return f"rejected: reason {outcome.reason}"


def _since(clock: IReactorTime, started: float) -> float:
    return (clock.seconds() - started) * 1000
