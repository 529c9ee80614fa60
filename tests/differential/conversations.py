"""Conversations made from a seed, for two servers that must answer them alike.

Every conversation is bytes for one connection, in a few reads. It draws on all of C706 as clients misuse it: binds
and alter_contexts of every kind, fragments in every order, cancels, wrong lengths and versions, either byte order,
association groups. The interface is the management interface, which every RPC server has.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from kmstwist.rpc import (
    FIRST_FRAG,
    LAST_FRAG,
    MGMT_INTERFACE,
    NDR32,
    NULL_SYNTAX,
    WHOLE,
    AlterContext,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    Fault,
    Orphaned,
    OtherPdu,
    Pdu,
    PresentationContext,
    Request,
    Response,
    Shutdown,
    SyntaxId,
    encode,
    feature_syntax,
)

#: Stands for the association group of a connection that was bound before, until the group is known.
EARLIER_GROUP: Final = 0x6B6D7374
UNKNOWN: Final = SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 1)
#: The management interface in a major version that nobody has.
LATER: Final = SyntaxId.make(str(MGMT_INTERFACE.uuid), 2)
CONTEXT_IDS: Final = (0, 0, 0, 1, 7, 300)
CALL_IDS: Final = (2, 2, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is sent on one connection, PDU by PDU; `said` is what each is.

    `stepped`: each PDU is sent when the previous one has been dealt with; otherwise all are sent at once, in reads
    cut at `cuts`. `in_group`: during the conversation, a connection is open in the group that the binds name.
    `half_close`: the client ends its side right after the last PDU.
    """

    seed: str
    pdus: tuple[bytes, ...]
    said: tuple[str, ...]
    stepped: bool
    cuts: tuple[int, ...]
    in_group: bool
    half_close: bool

    @property
    def reads(self) -> list[bytes]:
        """All the bytes, as they are sent if the conversation is not stepped."""
        data = b"".join(self.pdus)
        return [data[a:b] for a, b in zip([0, *self.cuts], [*self.cuts, len(data)], strict=True) if a < b]


class Maker:
    """One conversation in the making."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.in_group = self.random.random() < 0.1
        #: One conversation in eight is in the other byte order; one in eight mixes them.
        self.endian = self.random.choice("LLLLLLBM")
        self.said: list[str] = []

    def conversation(self) -> Conversation:
        """All of it."""
        random = self.random
        pdus = [self._opening()]
        pdus += [self._later() for _ in range(random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12)))]
        size = sum(len(pdu) for pdu in pdus)
        cuts = sorted(random.randrange(size + 1) for _ in range(random.choice((0, 0, 1, 3))))
        half_close = random.random() < 0.15
        stepped = random.random() < 0.8
        return Conversation(self.seed, tuple(pdus), tuple(self.said), stepped, tuple(cuts), self.in_group, half_close)

    def _opening(self) -> bytes:
        roll = self.random.random()
        if roll < 0.85:
            return self._encode(self._good_bind(), "bind")
        if roll < 0.97:
            return self._bind(Bind)
        return self._later()

    def _good_bind(self) -> Bind:
        """A bind, without which most conversations would end at once."""
        flags = WHOLE | (0x10 if self.random.random() < 0.5 else 0)
        context_id = self.random.choice(CONTEXT_IDS)
        group = EARLIER_GROUP if self.in_group else 0
        return Bind(1, (PresentationContext(context_id, MGMT_INTERFACE, (NDR32,)),), flags=flags, assoc_group=group)

    def _later(self) -> bytes:
        random = self.random
        kinds = (
            (self._request, 30),
            (self._fragment, 50),
            (lambda: self._bind(AlterContext), 12),
            (self._signal, 12),
            (lambda: self._bind(Bind), 2),
            (self._foreign, 3),
            (self._lie, 4),
        )
        [make] = random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        return make()

    def _request(self) -> bytes:
        random = self.random
        flags = WHOLE | random.choice((0, 0, 0, 0, 0, 0x08, 0x10, 0x20, 0x80, 0x04))
        stub, opnum = self._stub()
        hint = self._hint(stub)
        auth = AuthVerifier(random.choice((7, 100)), 2, 0, 0, bytes(16)) if random.random() < 0.03 else None
        call_id, context_id = random.choice(CALL_IDS), random.choice(CONTEXT_IDS)
        return self._encode(
            Request(call_id, context_id, opnum, stub[:5000], hint, None, flags, auth),
            f"request {flags:#x} call {call_id} context {context_id} op {opnum}{' with a verifier' if auth else ''}",
        )

    def _fragment(self) -> bytes:
        random = self.random
        flags = random.choice((FIRST_FRAG, FIRST_FRAG, 0, LAST_FRAG, LAST_FRAG, WHOLE))
        flags |= random.choice((0, 0, 0, 0, 0, 0, 0x08, 0x10, 0x20, 0x04, 0x80))
        stub, opnum = self._stub()
        call_id = random.choice(CALL_IDS)
        context_id = random.choice(CONTEXT_IDS)
        return self._encode(
            Request(call_id, context_id, opnum, stub, self._hint(stub), flags=flags),
            f"fragment {flags:#x} call {call_id} context {context_id} op {opnum}",
        )

    def _stub(self) -> tuple[bytes, int]:
        random = self.random
        opnum = random.choice((2, 2, 2, 2, 3, 0, 5, 6, 99, 0xFFFF))
        return random.choice((b"", b"", b"", bytes(4), bytes(16), bytes(100), bytes(2000), bytes(5816))), opnum

    def _hint(self, stub: bytes) -> int:
        return self.random.choice((len(stub), len(stub), len(stub), 0, 1, 100_000, 0x3FFFFF, 0x400001, 0xFFFFFFFF))

    def _signal(self) -> bytes:
        kind = self.random.choice((CoCancel, Orphaned))
        pdu = kind(self.random.choice(CALL_IDS), self.random.choice((WHOLE, WHOLE, 0, 1, 2)))
        return self._encode(pdu, kind.__name__)

    def _bind(self, kind: type[Bind]) -> bytes:
        random = self.random
        contexts = tuple(self._context() for _ in range(random.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))))
        flags = random.choice(
            (WHOLE, WHOLE, WHOLE | 0x10, WHOLE | 0x04, WHOLE | 0x14, 0, 1, 2, 0xFF, random.randrange(256))
        )
        xmit, recv = (random.choice((5840, 5840, 4280, 2048, 2047, 0, 1, 3199, 0xFFFF)) for _ in range(2))
        group = random.choice((0, 0, 0, 0, EARLIER_GROUP if self.in_group else 0, 99))
        auth = None
        if random.random() < 0.06:
            auth = AuthVerifier(random.choice((7, 100)), random.choice((0, 1, 2, 5, 6, 7)), 0, 0, bytes(16))
        pdu = kind(random.choice(CALL_IDS), contexts, xmit, recv, group, flags, auth)
        data = self._encode(pdu, f"{kind.__name__} of {len(contexts)} contexts, flags {flags:#x}")
        if auth is None and random.random() < 0.08:
            size = min(random.choice((len(data) + 3, 5841, 6000, 0xFFFF)), 0xFFFF)
            if size > len(data):
                self.said[-1] += " with padding"
                data = _with(data, 8, size) + bytes(size - len(data))
        elif auth is None and random.random() < 0.06:
            data = _with(data, 10, random.choice((1, 8, 16, 40, 0xFFFF)))
        return data

    def _context(self) -> PresentationContext:
        random = self.random
        interface = random.choice((MGMT_INTERFACE,) * 5 + (UNKNOWN, LATER, NULL_SYNTAX))
        transfers = random.choice(
            ((NDR32,),) * 6 + ((), (UNKNOWN,), (UNKNOWN, NDR32), (NDR32, NDR32), (feature_syntax(random.randrange(8)),))
        )
        return PresentationContext(random.choice(CONTEXT_IDS), interface, transfers)

    def _foreign(self) -> bytes:
        call_id = self.random.choice(CALL_IDS)
        pdu: Pdu = self.random.choice(
            (
                Auth3(call_id),
                Shutdown(call_id),
                Response(call_id, 0, b""),
                Fault(call_id, 0, 5),
                BindAck(call_id, ()),
                BindNak(call_id, 0),
                OtherPdu(call_id, self.random.choice((1, 4, 7, 20, 255))),
            )
        )
        return self._encode(pdu, type(pdu).__name__)

    def _lie(self) -> bytes:
        """A PDU whose header is wrong."""
        random = self.random
        data = self._later()
        field = random.choice(("version", "minor", "length", "length", "auth length", "auth length"))
        if field == "auth length" and ("padding" in self.said[-1] or data[10:12] != b"\0\0"):
            field = "length"
        self.said[-1] += f" with a false {field}"
        if field == "version":
            return bytes([random.choice((4, 6, 0))]) + data[1:]
        if field == "minor":
            return data[:1] + bytes([2]) + data[2:]
        if field == "length":
            return _with(data, 8, random.choice((0, 15, 16, 20, len(data) - 1, len(data) + 4, 0xFFFF)) & 0xFFFF)
        return _with(data, 10, random.choice((1, 8, 16, 100, 0xFFFF)))

    def _encode(self, pdu: Pdu, name: str) -> bytes:
        little = self.endian == "L" or (self.endian == "M" and self.random.random() < 0.7)
        self.said.append(name if little else f"{name}, big endian")
        return encode(pdu, little_endian=little)


def _with(data: bytes, offset: int, value: int) -> bytes:
    """A PDU with another u16 at `offset`, in its own byte order."""
    order = "little" if data[4] & 0xF0 else "big"
    return data[:offset] + value.to_bytes(2, order) + data[offset + 2 :]  # type: ignore[arg-type]


def conversation(seed: int, number: int) -> Conversation:
    """The conversation of this number in the series of this seed."""
    return Maker(f"{seed}:{number}").conversation()
