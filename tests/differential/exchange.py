"""Sending a conversation to a server, and normalising its answers so that two servers can be compared."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass

from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    AlterContext,
    AlterContextResp,
    Bind,
    BindAck,
    BindNak,
    Fault,
    Pdu,
    PresentationContext,
    Response,
    decode,
    encode,
)
from tests.differential.conversations import EARLIER_GROUP, UNKNOWN, Conversation

#: An alter_context that both servers answer at once and in the same way: when its answer is there, so are all others.
MARK = 0x7FFFFFF7
_MARKER = encode(AlterContext(MARK, (PresentationContext(0xFFFF, UNKNOWN, (NDR32,)),)))
_EARLIER = encode(Bind(1, (PresentationContext(0, MGMT_INTERFACE, (NDR32,)),)))
#: How long a server may be silent, in seconds, before its client ends its side. Only a conversation whose last PDU is
#: incomplete waits that long, for the mark is taken for the rest of it.
_SILENCE = 1.0
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What a server sent after each PDU (or after all, in a conversation that is not stepped), and how it was left.

    `left` is "closed" where the server ended the connection, "open" where it did not, "waiting" where it did not even
    answer the mark, since it takes that for the rest of an incomplete PDU.
    """

    steps: tuple[tuple[str, ...], ...]
    left: str

    def __str__(self) -> str:
        lines = [f"  {number}: {pdu}" for number, step in enumerate(self.steps) for pdu in step]
        return "\n".join([*lines, f"  {self.left}"])


def described(pdu: Pdu) -> str:
    """A PDU without what two servers are free to choose: group ids, addresses, stubs and the hints of their sizes."""
    if isinstance(pdu, BindAck):
        results = " ".join(f"{r.result}/{r.reason}/{r.transfer.wire[:2].hex()}" for r in pdu.results)
        kind = "alter_resp" if isinstance(pdu, AlterContextResp) else "bind_ack"
        address = "an address" if pdu.secondary_address else "no address"
        sizes = f"sizes {pdu.max_xmit_frag} {pdu.max_recv_frag}"
        return f"{kind} call {pdu.call_id} flags {pdu.flags:#x} {sizes} {address} results {results}"
    if isinstance(pdu, BindNak):
        return f"bind_nak call {pdu.call_id} flags {pdu.flags:#x} reason {pdu.reject_reason} versions {pdu.versions}"
    if isinstance(pdu, Response):
        return f"response call {pdu.call_id} flags {pdu.flags:#x} context {pdu.context_id}"
    if isinstance(pdu, Fault):
        return f"fault call {pdu.call_id} flags {pdu.flags:#x} context {pdu.context_id} status {pdu.status:#x}"
    return repr(pdu)


async def read_pdu(reader: asyncio.StreamReader) -> Pdu | None:
    """The next PDU, or None at the connection's end."""
    try:
        header = await reader.readexactly(16)
        return decode(header + await reader.readexactly(int.from_bytes(header[8:10], "little") - 16))
    except (asyncio.IncompleteReadError, OSError):
        return None


async def hold(port: int, conversation: Conversation) -> Answers:
    """Hold the conversation with the server on this port of 127.0.0.1."""
    group, earlier = 0, None
    if conversation.in_group:
        reader, earlier = await asyncio.open_connection("127.0.0.1", port)
        earlier.write(_EARLIER)
        ack = await read_pdu(reader)
        assert isinstance(ack, BindAck)
        group = ack.assoc_group
    try:
        return await asyncio.wait_for(_hold(port, conversation, group), _PATIENCE)
    finally:
        if earlier is not None:
            earlier.close()


async def _hold(port: int, conversation: Conversation, group: int) -> Answers:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    steps: list[tuple[str, ...]] = []
    sends = [[pdu] for pdu in conversation.pdus] if conversation.stepped else [conversation.reads]
    bound, left = False, "open"
    try:
        for number, reads in enumerate(sends):
            last = number == len(sends) - 1
            with contextlib.suppress(OSError):
                for read in reads:
                    writer.write(_in_group(read, group))
                    await writer.drain()
                if last and conversation.half_close:
                    writer.write_eof()
                elif bound or not conversation.stepped:
                    writer.write(_MARKER)
            answers, left = await _answers(reader, bound or last)
            bound |= any(answer.startswith("bind_ack") for answer in answers)
            steps.append(tuple(answers))
            if left != "open":
                break
    finally:
        writer.close()
    return Answers(tuple(steps), left)


async def _answers(reader: asyncio.StreamReader, marked: bool) -> tuple[list[str], str]:
    """What comes until the mark is answered, or where none was set until something is; and how the connection is."""
    answers: list[str] = []
    while True:
        try:
            pdu = await asyncio.wait_for(read_pdu(reader), _SILENCE)
        except TimeoutError:
            return answers, "waiting"
        if pdu is None:
            return answers, "closed"
        if pdu.call_id == MARK:
            return answers, "open"
        answers.append(described(pdu))
        if not marked and answers[-1].startswith("bind_ack"):
            return answers, "open"


def _in_group(data: bytes, group: int) -> bytes:
    for form in ("<I", ">I"):
        data = data.replace(struct.pack(form, EARLIER_GROUP), struct.pack(form, group))
    return data
