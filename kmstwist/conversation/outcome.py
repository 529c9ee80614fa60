"""What becomes of a call, and the log line that says so."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.logger import Logger

from kmstwist.kms.activation import ActivationAnswer, ActivationFault
from kmstwist.logevents import CONVERSATION
from kmstwist.reasons import Reason
from kmstwist.telemetry.counters import Telemetry


class Outcome:
    """What one log line tells of a call; filled while the call goes its way."""

    __slots__ = (
        "answered_at",
        "asked",
        "code",
        "count",
        "detail",
        "machine",
        "product",
        "reason",
        "received_ms",
        "result",
        "started",
        "upstream",
        "version",
    )

    def __init__(self, started: float, received_ms: float | None = None, *, asked: bool = True) -> None:
        """`started` is when the call had come whole, `received_ms` how long it took since the connection was made.

        `asked` is false for the line of a connection that made no call.
        """
        self.started = started
        self.asked = asked
        self.received_ms = received_ms
        self.answered_at: float | None = None
        self.version = ""
        self.machine = ""
        self.product: str | None = None
        self.upstream: str | None = None
        self.result = "none"
        self.code: int | None = None
        self.count: int | None = None
        self.reason = Reason.OK
        self.detail = ""

    def answer(self, answer: ActivationAnswer, now: float) -> None:
        """The call was answered."""
        self.answered_at = now
        self.result = _result(answer)
        self.code = answer.hresult
        self.count = answer.count
        self.upstream = answer.upstream
        self.reason = answer.reason
        self.detail = answer.detail
        if answer.facts is not None:
            self.machine = answer.facts.machine_name
            self.product = answer.facts.product

    def fault(self, fault: ActivationFault, now: float) -> None:
        """The call was answered with a fault."""
        self.answered_at = now
        self.result = "fault"
        self.code = fault.status
        self.reason = fault.reason
        self.detail = fault.detail
        self.upstream = fault.upstream

    def give_up(self, reason: Reason, detail: str) -> None:
        """The client gave the call up; what it was answered meanwhile never reached it."""
        self.answered_at = None
        self.result = "none"
        self.code = None
        self.reason = reason
        self.detail = detail


def _result(answer: ActivationAnswer) -> str:
    """The answer in a word. A client is activated only if the count is enough for it, where both can be read."""
    if answer.hresult != 0:
        return "refused"
    enough = answer.count is not None and answer.facts is not None and answer.count >= answer.facts.required_count
    return "activated" if enough else "answered"


@dataclass(slots=True)
class ConnectionFacts:
    """What a line tells of the connection that a call came over. Times are the clock's seconds.

    A connection may have several lines, one for each call: each tells the bytes and the time since the line before.
    """

    client: str
    port: int
    proxy: str | None
    opened: float
    bound_at: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    lines: int = 0
    #: Bytes in and out that earlier lines told of.
    told: tuple[int, int] = (0, 0)


def write_line(
    log: Logger,
    facts: ConnectionFacts,
    outcome: Outcome,
    *,
    end: str,
    phase: str,
    now: float,
    telemetry: Telemetry,
) -> None:
    """Count the conversation and write its line; `end` is who ended the connection, "open" while nobody has."""
    first = facts.lines == 0
    facts.lines += 1
    told_in, told_out = facts.told
    facts.told = (facts.bytes_in, facts.bytes_out)
    if end == "open" and outcome.answered_at is not None:
        # The line waited for the connection's end in vain: that is no part of the conversation.
        now = outcome.answered_at
    bind = None if not first or facts.bound_at is None else facts.bound_at - facts.opened
    call = None if outcome.answered_at is None else outcome.answered_at - outcome.started
    total = now - (facts.opened if first else outcome.started)
    telemetry.conversation(outcome.result, str(outcome.reason), bind=bind, call=call, total=total)
    CONVERSATION.emit(
        log,
        client=facts.client,
        port=facts.port,
        proxy=facts.proxy,
        version=outcome.version,
        machine=outcome.machine,
        product=outcome.product,
        upstream=outcome.upstream,
        result=outcome.result,
        code=None if outcome.code is None else f"0x{outcome.code & 0xFFFFFFFF:08X}",
        count=outcome.count,
        reason=str(outcome.reason),
        detail=outcome.detail,
        end=end,
        phase=phase,
        bind_ms=None if bind is None else bind * 1000,
        call_ms=None if call is None else call * 1000,
        total_ms=total * 1000,
        bytes_in=facts.bytes_in - told_in,
        bytes_out=facts.bytes_out - told_out,
    )
