"""Who asks a KMS host for an activation, and how they are told: by plain calls, or through a Deferred."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class Asker(Protocol):
    """Whom a connection tells what became of an activation request: one of the two, once."""

    def answered(self, hresult: int, message: bytes) -> None:
        """The host answered, with an HRESULT and a response (empty unless the HRESULT is 0)."""

    def failed(self, error: Exception) -> None:
        """The host answered with a fault or with nonsense, or the connection ended: an `UpstreamError`."""


class Waiting:
    """An asker that fires a Deferred with HRESULT and response, or fails it."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Deferred[tuple[int, bytes]]) -> None:
        self._answer = answer

    def answered(self, hresult: int, message: bytes) -> None:
        """See `Asker`."""
        self._answer.callback((hresult, message))

    def failed(self, error: Exception) -> None:
        """See `Asker`. Whoever cancelled the Deferred has its end already."""
        if not self._answer.called:
            self._answer.errback(error)
