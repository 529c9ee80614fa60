"""Whether the hosts behind a gateway answer, asked now: an RPC interface of kmstwist's own, beside the KMS interface.

It carries no KMS message: the gateway probes its hosts as its health check does, and says how many answered, but not
which. In IDL:

    [uuid(0521e8d2-3ca9-40cc-874f-bf49d775097e), version(1.0)] interface reach {
        error_status_t CheckHosts([out] unsigned long *role, [out] unsigned long *asked,
            [out] unsigned long *answered, [out] unsigned long *milliseconds, [out] unsigned long *age);
    }

A request has an empty stub, a response six integers of 32 bits (the last the status, 0), alike in NDR32 and NDR64. A
server without the interface refuses the context, as any RPC server does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kmstwist.rpc import NDR32, Interface, PresentationContext, StubError, StubReader, StubWriter, SyntaxId

REACH_INTERFACE: Final = SyntaxId.make("0521e8d2-3ca9-40cc-874f-bf49d775097e", 1)
CHECK_HOSTS: Final = 0
#: The interface as a gateway, or a lab, offers it.
REACH: Final = Interface(REACH_INTERFACE, operations=1)
#: For an alter_context on an association that has the KMS and management interfaces.
REACH_CONTEXTS: Final = (PresentationContext(4, REACH_INTERFACE, (NDR32,)),)
#: How many seconds a check waits for its hosts. A host that has not answered by then counts as down.
PATIENCE: Final = 3.0
#: For how many seconds the same result is given to whoever asks.
SHARED_FOR: Final = 1.0


class Role(IntEnum):
    """What answers: a gateway in front of hosts, or a lab, which is its own host."""

    GATEWAY = 1
    LAB = 2


@dataclass(frozen=True, slots=True)
class Reach:
    """What a check found: how many hosts were asked and how many answered; its duration and its age in milliseconds."""

    role: Role
    asked: int = 0
    answered: int = 0
    milliseconds: int = 0
    age: int = 0


def encode(reach: Reach) -> bytes:
    """The response stub."""
    writer = StubWriter()
    for value in (reach.role, reach.asked, reach.answered, reach.milliseconds, reach.age, 0):
        writer.u32(min(value, 0xFFFFFFFF))
    return writer.finish()


def decode(stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> Reach:
    """What a response stub says. Raises `StubError` if it is malformed or contradicts itself."""
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    role, asked, answered, milliseconds, age, status = (reader.u32() for _ in range(6))
    if status:
        raise StubError(f"the check ended with status {status}")
    if role not in set(Role):
        raise StubError(f"a server of role {role}, which is unknown")
    if answered > asked:
        raise StubError(f"{answered} hosts answered of {asked}")
    return Reach(Role(role), asked, answered, milliseconds, age)
