"""What a client is told when no host answered its call."""

from __future__ import annotations

import pytest

from kmstwist.gateway.service import Attempts
from kmstwist.kms.activation import ActivationFault
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import ConnectError, FaultError, LostError, UpstreamError

REFUSED = ConnectError("connection refused")
BROKE_OFF = LostError("connection lost")
FAULT = FaultError(FaultStatus.SERVER_TOO_BUSY, did_not_execute=True)


def told(*errors: UpstreamError, seconds: float | None = None, known: int = 2) -> ActivationFault:
    attempts = Attempts()
    for number, error in enumerate(errors):
        attempts.failed(f"kms{number}", error)
    if seconds is not None:
        attempts.out_of_time(seconds)
    with pytest.raises(ActivationFault) as caught:
        attempts.answer(None, known=range(known))
    return caught.value


def test_a_hosts_own_fault_says_more_than_that_another_could_not_be_reached_in_either_order() -> None:
    for errors in ((FAULT, REFUSED), (REFUSED, FAULT)):
        assert told(*errors).status == FaultStatus.SERVER_TOO_BUSY
    assert told(FAULT, REFUSED).upstream == "kms0"


def test_all_that_happened_is_in_the_line_whichever_of_it_is_passed_on() -> None:
    assert told(REFUSED, BROKE_OFF).detail == f"kms0: {REFUSED.detail}; kms1: {BROKE_OFF.detail}"


@pytest.mark.parametrize(
    ("seconds", "known", "detail"),
    [
        (3.0, 2, "no answer within 3 s"),
        (None, 2, "every upstream is drained"),
        (None, 0, "no upstream is known"),
    ],
)
def test_a_call_that_no_host_got_says_why(seconds: float | None, known: int, detail: str) -> None:
    fault = told(seconds=seconds, known=known)
    assert (fault.status, fault.reason, fault.detail) == (
        FaultStatus.SERVER_UNAVAILABLE,
        Reason.UPSTREAM_NONE,
        detail,
    )


def test_the_detail_has_what_hosts_did_and_that_the_time_was_over() -> None:
    assert told(REFUSED, seconds=3.0).detail == f"kms0: {REFUSED.detail}; the 3 s for the call were over"
