"""The upstreams' answers to one call, and which of them the client gets."""

from __future__ import annotations

from collections.abc import Sized

from kmstwist.gateway.reserve import PoolBusy
from kmstwist.kms.activation import ActivationAnswer, ActivationFault, RequestFacts
from kmstwist.kms.status import Status
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import ConnectError, FaultError, NoRoomError, TimedOut, UpstreamError

#: Statuses that a host gives about itself, so that another may answer better; later ones tell the client more.
NOT_FINAL = (
    int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH),
    int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED),
)


class Attempts:
    """The attempts of one call so far. Call `got` or `failed` for each, and `answer` at the end."""

    # The values before any host was asked; nearly all calls need to set only three of these.
    hresult: int | None = None
    upstream = ""
    #: Whether a host said that it cannot answer this client.
    said_no = False
    _message = b""
    _said: tuple[str, ...] = ()
    _error: tuple[str, UpstreamError] | None = None
    _timeout: float | None = None

    @property
    def final(self) -> bool:
        """Whether no other host could answer better."""
        return self.hresult is not None and self.hresult not in NOT_FINAL

    def got(self, upstream: str, hresult: int, message: bytes) -> None:
        """A host answered with an HRESULT (unsigned) and a response, which is empty unless the HRESULT is 0."""
        if self.hresult is None and hresult not in NOT_FINAL:
            self.hresult, self._message, self.upstream = hresult, message, upstream
            return
        self.said_no = self.said_no or hresult in NOT_FINAL
        if self.hresult is None or hresult not in NOT_FINAL or _rank(hresult) > _rank(self.hresult):
            if self.hresult is not None:
                self._said += (f"{self.upstream} said 0x{self.hresult:08X}",)
            self.hresult, self._message, self.upstream = hresult, message, upstream
        else:
            self._said += (f"{upstream} said 0x{hresult:08X}",)

    def failed(self, upstream: str, error: UpstreamError) -> None:
        """A host did not answer the call, or answered with a fault."""
        self._said += (f"{upstream}: {error.detail}",)
        if self._error is None or _weight(error) >= _weight(self._error[1]):
            self._error = (upstream, error)

    def out_of_time(self, seconds: float) -> None:
        """The call's deadline passed before all hosts were asked."""
        self._timeout = seconds

    def answer(self, facts: RequestFacts | None, *, known: Sized) -> ActivationAnswer:
        """The best answer. `known` are the upstreams there are. Raises `ActivationFault` if there is no answer."""
        if self.hresult is None:
            raise self._fault(known)
        return ActivationAnswer(
            self.hresult,
            self._message,
            upstream=self.upstream,
            facts=facts,
            reason=Reason.OK if self.hresult == 0 else Reason.UPSTREAM_STATUS,
            detail="; ".join(self._said),
        )

    def _fault(self, known: Sized) -> ActivationFault:
        """The fault for the client when no host answered.

        A host's own fault is passed on as it is. Otherwise it is one that Windows clients understand: "server
        unavailable" (a host that cannot be reached or is silent), "server too busy" or "call failed" (a host that broke
        off).
        """
        if self._error is None:
            if self._timeout is not None:
                detail = f"no answer within {self._timeout:g} s"
            else:
                detail = "every upstream is drained" if len(known) else "no upstream is known"
            return ActivationFault(FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_NONE, detail)
        upstream, error = self._error
        if isinstance(error, FaultError):
            status: int = error.status
        elif isinstance(error, PoolBusy | NoRoomError):
            status = FaultStatus.SERVER_TOO_BUSY
        elif isinstance(error, ConnectError | TimedOut):
            status = FaultStatus.SERVER_UNAVAILABLE
        else:
            status = FaultStatus.CALL_FAILED
        said = "; ".join(self._said)
        if self._timeout is not None:
            said += f"; the {self._timeout:g} s for the call were over"
        return ActivationFault(status, error.reason, said, upstream)


def _rank(hresult: int) -> int:
    return NOT_FINAL.index(hresult) if hresult in NOT_FINAL else len(NOT_FINAL)


def _weight(error: UpstreamError) -> int:
    """How much a failure tells the client: a host's own fault tells most, then one that allows it to try again."""
    if isinstance(error, FaultError):
        return 2
    return 1 if isinstance(error, PoolBusy | NoRoomError) else 0
