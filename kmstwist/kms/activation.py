"""One activation call and its answer: what passes between the server and whoever answers (the gateway or the lab).

The server makes an `ActivationCall` of each RequestActivation it receives and hands it to an activator. The activator
answers with an `ActivationAnswer`, or raises (through its Deferred) an `ActivationFault`, which the client sees as an
RPC fault. The message itself stays bytes: only the lab, and V4 messages, which are in clear, are ever looked into, and
what was learnt there travels beside the message as a `RequestFacts`, never instead of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kmstwist.reasons import Reason


@dataclass(frozen=True, slots=True)
class ActivationCall:
    """One RequestActivation call as it reached the server.

    `message` is the KMS request, version word first, exactly as received; `client` the client's IP address in text
    (an IPv4-mapped one as IPv4) and `client_port` its TCP port. `proxy` is the load balancer's address where the
    client's is the one that a PROXY header named.
    """

    message: bytes
    client: str
    client_port: int
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is readable in a request: all of it in V4 and in the lab's own messages, nothing in a genuine V5 or V6."""

    machine_name: str
    cmid: UUID
    app_id: UUID
    act_id: UUID
    kms_id: UUID
    license_status: int
    minutes_left: int
    required_count: int
    virtual_machine: bool
    client_time: datetime
    product: str | None = None


@dataclass(frozen=True, slots=True)
class ActivationAnswer:
    """What RequestActivation returns.

    `hresult` is 0 with a response `message`, else a status code (`kmstwist.kms.status`) with an empty one. `upstream`
    names the KMS host that answered (None in the lab), `facts` what could be read of the request, `count` the client
    count in the answer where it was readable, `reason` the code for the log (`Reason.OK` for success), and `detail`
    a sentence for the log where there is more to say.
    """

    hresult: int
    message: bytes = b""
    upstream: str | None = None
    facts: RequestFacts | None = None
    count: int | None = None
    reason: Reason = Reason.OK
    detail: str = ""


class ActivationFault(Exception):
    """The call is to be answered with an RPC fault of this status (C706 appendix E, [MS-ERREF] 2.2)."""

    def __init__(self, status: int, reason: Reason, detail: str, upstream: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.upstream = upstream
