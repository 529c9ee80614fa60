"""One log line for each call, and one for a connection without a call: what it says, and when it is written.

The rule: a client that has its answer usually leaves a moment later, so the line of a finished call waits, in order to
say how the connection ended. It is written at the first of these:

- the connection's end;
- the client's next bytes, or the end of another of its calls;
- `LINE_WAITS` seconds after the call's end, since somebody may be watching the log.

A connection that ends without a line, or after a refusal that no line has mentioned, gets a line of its own.

Each line is counted when it is written, so that the log and the counters agree.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Final, NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from kmstwist.clock import now as wall_clock
from kmstwist.kms.activation import ActivationCall
from kmstwist.kms.version import Version
from kmstwist.logevents import CONVERSATION, UNUSED
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.reasons import Reason
from kmstwist.telemetry.counters import BUCKETS, FINE, Counters

#: How long, in seconds, the line of a finished call waits for the end of the connection.
LINE_WAITS: Final = 1.0
#: The most bytes from a client that has bound and not asked: a bind with all of Windows' contexts has 160.
_NO_MORE_THAN_A_BIND: Final = 1024
#: Ends of a connection that do not say what the client did before.
_WENT_AWAY: Final = (Reason.CLIENT_CLOSED, Reason.CLIENT_LOST, Reason.CLIENT_IDLE)

#: Cached: there are three versions, and whatever numbers strangers make up.
_text_of: Final = lru_cache(maxsize=64)(Version.__str__)


# Cached: nearly all answers have one of a few statuses.
@lru_cache(maxsize=64)
def _code(status: int) -> str:
    return f"0x{status & 0xFFFFFFFF:08X}"


class Cause(NamedTuple):
    """Why a client was refused something, or its connection ended."""

    reason: Reason
    detail: str


class LineWriter:
    """What the log lines of all connections share: the log, the counters, and the lines that wait."""

    def __init__(self, log: Logger, counters: Counters, clock: IReactorTime) -> None:
        self.log = log
        self.counters = counters
        self.clock = clock
        #: What the events of all conversations have in common.
        self.frame: Final = CONVERSATION.frame(log)
        self.waiting: Deadlines[ConnectionLog] = Deadlines(clock, LINE_WAITS, ConnectionLog.tell_while_open)


class ConnectionLog:
    """What the log lines of one connection say. Times are the clock's seconds.

    `client` and `port` are the client's, `proxy` is the load balancer's address, if there is one; `bound_at` is when
    the client's bind was acknowledged. A connection may have several lines: each gives the bytes and the time since the
    previous one. `ended` is why we closed the connection, and None unless we did.
    """

    __slots__ = (
        "_told_in",
        "_told_out",
        "_untold",
        "_writer",
        "bound_at",
        "bytes_in",
        "bytes_out",
        "checked",
        "client",
        "ended",
        "held",
        "lines",
        "opened",
        "port",
        "proxy",
    )

    def __init__(self, writer: LineWriter, client: str, port: int, proxy: str | None) -> None:
        self._writer = writer
        self.client = client
        self.port = port
        self.proxy = proxy
        self.opened = writer.clock.seconds()
        self.bound_at: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        #: Whether a call without an activation was answered: a management call, or a check of hosts.
        self.checked = False
        self.ended: Cause | None = None
        #: How many lines were written.
        self.lines = 0
        self._told_in = 0
        self._told_out = 0
        #: A finished call whose line waits.
        self.held: ActivationCall | None = None
        #: A refusal that no line has mentioned yet.
        self._untold: Cause | None = None

    # Called by the conversation.

    def call_over(self, call: ActivationCall) -> None:
        """A call is over; its line waits from now on."""
        if self.held is not None:
            self.tell("open")
        self.held = call
        # As `waiting.set`, but for the call of it: this is done for each call.
        writer = self._writer
        waiting = writer.waiting
        waiting[self] = writer.clock.seconds() + LINE_WAITS
        if waiting.timer is None:
            waiting.start()

    def refused(self, cause: Cause) -> None:
        """The client was refused something; the connection goes on, or is about to end."""
        self._untold = cause

    # When lines are written.

    def tell_while_open(self) -> None:
        """Write the line that waits; the connection goes on."""
        self.tell("open")

    def tell(self, end: str) -> None:
        """Write the line that waits, if one does; `end` is who ended the connection, "open" while nobody has."""
        call = self.held
        if call is None:
            return
        self.held = None
        self._writer.waiting.pop(self, None)
        ended = self.ended
        if ended is not None:
            if end == "server" and call.reason is Reason.OK:
                call.reason, call.detail = ended
            if call.reason is ended.reason:
                self._untold = None
        self._write(call, end)

    def tell_of_the_rest(self, end: str, went_away: Cause) -> ActivationCall | None:
        """At the connection's end, write the line that waits, and another for the connection if there is more to say.

        Returns the account in that other line, or None. `went_away` is how the client left, if we did not end the
        connection.
        """
        self.tell(end)
        if self._untold is None and self.lines:
            return None
        cause = self.ended or went_away
        if self._untold is not None and cause.reason in _WENT_AWAY:
            # Why the client was refused is more useful than that it then left.
            cause = self._untold
        if self._untold is None and (unused := self._unused(cause.reason)) is not None:
            self._tell_unused(unused)
            return None
        rest = ActivationCall(b"", self.client, self.port, self.proxy, started=self._writer.clock.seconds())
        rest.asked = False
        rest.bytes_in = self.bytes_in
        rest.reason, rest.detail = cause
        self._write(rest, end)
        return rest

    def _unused(self, reason: Reason) -> Reason | None:
        """Why a connection without a call came, if it is of a kind that comes every few seconds."""
        if self.bound_at is not None and reason is Reason.CLIENT_IDLE and self.bytes_in <= _NO_MORE_THAN_A_BIND:
            return Reason.CLIENT_RESERVE
        if (self.checked or not self.bytes_in) and reason in (Reason.CLIENT_CLOSED, Reason.CLIENT_LOST):
            return Reason.CLIENT_CHECK
        return None

    def _tell_unused(self, reason: Reason) -> None:
        writer = self._writer
        total = writer.clock.seconds() - self.opened
        bind = None if self.bound_at is None else self.bound_at - self.opened
        self._count("none", str(reason), bind, None, total)
        UNUSED.emit(
            writer.log,
            client=self.client,
            port=self.port,
            proxy=self.proxy,
            reason=str(reason),
            total_ms=total * 1000,
        )

    def _write(self, call: ActivationCall, end: str) -> None:
        """Count the conversation and write its line."""
        writer = self._writer
        first = self.lines == 0
        self.lines += 1
        answered_at = call.answered_at
        seconds = None if answered_at is None else answered_at - call.started
        # If the line waited in vain for the connection's end, the wait is not part of the conversation.
        now = answered_at if end == "open" and answered_at is not None else writer.clock.seconds()
        bind = None if not first or self.bound_at is None else self.bound_at - self.opened
        total = now - (self.opened if first else call.started)
        result, reason = call.result, str(call.reason)
        self._count(result, reason, bind, seconds, total)
        facts, answer, version = call.facts, call.answer, call.version
        status = call.hresult if call.hresult is not None else call.fault_status
        fields = {
            "client": self.client,
            "port": self.port,
            "proxy": self.proxy,
            "version": "" if version is None else _text_of(version),
            "machine": "" if facts is None else facts.machine_name,
            "product": None if facts is None else facts.product,
            "upstream": call.upstream,
            "result": result,
            "code": None if status is None else _code(status),
            "count": None if answer is None else answer.count,
            "reason": reason,
            "detail": call.detail,
            "end": end,
            "phase": "answered" if answered_at is not None else self._phase(call),
            "bind_ms": None if bind is None else bind * 1000,
            "call_ms": None if seconds is None else seconds * 1000,
            "total_ms": total * 1000,
            "bytes_in": self.bytes_in - self._told_in,
            "bytes_out": self.bytes_out - self._told_out,
        }
        self._told_in, self._told_out = self.bytes_in, self.bytes_out
        # Not by `emit`: this is the one event that comes thousands of times a second.
        writer.log.observer({**writer.frame, "kms_fields": fields, "log_time": wall_clock()})

    def _count(self, result: str, reason: str, bind: float | None, call: float | None, total: float) -> None:
        """Count a conversation. Durations are in seconds; a phase that was not reached has None."""
        counters = self._writer.counters
        counters.conversations[result] += 1
        if reason not in FINE:
            counters.reasons[reason] = counters.reasons.get(reason, 0) + 1
        phases = counters.phases
        for phase, seconds in (("bind", bind), ("call", call), ("total", total)):
            if seconds is not None:
                histogram = phases[phase]
                histogram.counts[bisect_left(BUCKETS, seconds)] += 1
                histogram.sum += seconds

    def _phase(self, call: ActivationCall) -> str:
        """How far the connection got, if its call has no answer."""
        if call.asked:
            return "call"
        return "connected" if self.bound_at is None else "bound"
