"""The ways in which asking a KMS host can fail, each with the reason code that an administrator can search for."""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus, RejectReason


class UpstreamError(Exception):
    """Asking a KMS host failed. `detail` is a whole clause for the log; `reason` the code."""

    reason = Reason.UPSTREAM_PROTOCOL

    def __init__(self, detail: str, reason: Reason | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if reason is not None:
            self.reason = reason


class ConnectError(UpstreamError):
    """No connection could be made: refused, no route, a name that does not resolve, or no answer in time."""

    reason = Reason.UPSTREAM_REFUSED


class SourceError(ConnectError):
    """The address to connect from does not belong to this machine."""


class NoRoomError(UpstreamError):
    """This machine has no port, file descriptor or memory left for another connection; the host is not to blame."""

    reason = Reason.UPSTREAM_BUSY


class BindError(UpstreamError):
    """The host speaks RPC, but refused the bind or does not have the KMS interface."""

    reason = Reason.UPSTREAM_BIND_REJECTED


class LostError(UpstreamError):
    """The connection ended before the answer arrived."""

    reason = Reason.UPSTREAM_LOST


class TimedOut(UpstreamError):
    """No answer came in time."""

    reason = Reason.UPSTREAM_TIMEOUT


class FaultError(UpstreamError):
    """The host answered the call with an RPC fault of this status."""

    reason = Reason.UPSTREAM_FAULT

    def __init__(self, status: int, did_not_execute: bool) -> None:
        super().__init__(f"fault {fault_name(status)}")
        self.status = status
        self.did_not_execute = did_not_execute


def fault_name(status: int) -> str:
    """A fault status as a log shows it: its number, and its name if it has one."""
    try:
        return f"0x{status:08x} ({FaultStatus(status).name.lower().replace('_', ' ')})"
    except ValueError:
        return f"0x{status:08x}"


def reject_name(reason: int) -> str:
    """A bind_nak's reason as a log shows it."""
    try:
        return RejectReason(reason).name.lower().replace("_", " ")
    except ValueError:
        return f"reason {reason}"
