"""Makes the seed corpus from our own encoders: `python fuzz/seeds.py` writes it to fuzz/corpus/.

The files are committed, so that fuzzing starts from conversations that make sense; a test holds them to what this
module makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import event_seeds

from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE, MANAGEMENT_CONTEXTS, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    CONC_MPX,
    FIRST_FRAG,
    LAST_FRAG,
    MAYBE,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    OBJECT_UUID,
    WHOLE,
    AlterContext,
    AlterContextResp,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextOutcome,
    Fault,
    Orphaned,
    Pdu,
    PresentationContext,
    Request,
    Response,
    Shutdown,
    encode,
    mgmt,
)

CORPUS = Path(__file__).resolve().parent / "corpus"
_MESSAGE = bytes.fromhex("00000600") + bytes(range(96))
_BIND = Bind(2, WINDOWS_CONTEXTS)
_MPX = Bind(2, WINDOWS_CONTEXTS, flags=WHOLE | CONC_MPX)
_MGMT = Bind(1, (PresentationContext(0, MGMT_INTERFACE, (NDR32,)),))
_NDR64 = Bind(1, (PresentationContext(0, KMS_INTERFACE, (NDR64,)), PresentationContext(1, MGMT_INTERFACE, (NDR64,))))
_STUB = interface.encode_request(_MESSAGE)
_CALL = Request(2, 0, 0, _STUB, len(_STUB))
_AUTH = AuthVerifier(10, 5, 0, 1, b"NTLMSSP\0\1\0\0\0")
_RESULTS = (ContextOutcome(0, 0, NDR32), ContextOutcome(2, 2), ContextOutcome(3, 3))
_ACK = BindAck(2, _RESULTS, assoc_group=0x1234, secondary_address=b"1688")


def _fragments(call_id: int, size: int) -> list[Pdu]:
    cuts = list(range(0, len(_STUB), size))
    return [
        Request(
            call_id, 0, 0, _STUB[at : at + size], flags=(at == 0) * FIRST_FRAG | (at + size >= len(_STUB)) * LAST_FRAG
        )
        for at in cuts
    ]


SERVER: dict[str, list[Pdu]] = {
    "activation": [_BIND, _CALL],
    "activation-ndr64": [_NDR64, Request(2, 0, 0, interface.encode_request(_MESSAGE, ndr64=True))],
    "fragments": [_BIND, *_fragments(2, 32)],
    "interleaved": [_MPX, *[p for pair in zip(_fragments(2, 40), _fragments(3, 40), strict=True) for p in pair]],
    "management": [_MGMT, *[Request(i + 1, 0, i, bytes(8)) for i in range(6)]],
    "alter": [_BIND, AlterContext(3, MANAGEMENT_CONTEXTS), Request(4, 3, mgmt.IS_SERVER_LISTENING, b"")],
    "cancel-orphan": [_MPX, *_fragments(2, 40)[:1], CoCancel(2), Orphaned(2), _CALL, Orphaned(2), CoCancel(9)],
    "maybe-object": [_BIND, Request(2, 0, 0, _STUB, object=bytes(16), flags=WHOLE | MAYBE | OBJECT_UUID)],
    "authentication": [Bind(1, WINDOWS_CONTEXTS, auth=_AUTH)],
    "auth3": [_BIND, Auth3(2, auth=_AUTH)],
    "second-bind": [_BIND, _BIND],
    "shutdown": [Shutdown(0), _BIND, Shutdown(1), _CALL],
}
CLIENT: dict[str, list[Pdu]] = {
    "response": [_ACK, Response(2, 0, interface.encode_response(0, _MESSAGE))],
    "fragments": [
        _ACK,
        Response(2, 0, _MESSAGE[:50], flags=FIRST_FRAG),
        Response(2, 0, _MESSAGE[50:], flags=LAST_FRAG),
    ],
    "fault": [_ACK, Fault(2, 0, 0x1C010003), Fault(3, 0, 5)],
    "bind-nak": [BindNak(2, 4)],
    "alter-resp": [_ACK, AlterContextResp(3, _RESULTS)],
    "shutdown": [_ACK, Shutdown(0)],
}


def corpus() -> dict[str, bytes]:
    """Every seed by its path below `CORPUS`: a byte that chooses the cuts, then the bytes."""
    seeds: dict[str, bytes] = {}
    for name, pdus in SERVER.items():
        seeds[f"server/{name}"] = b"\0" + b"".join(encode(pdu) for pdu in pdus)
        seeds[f"server/{name}-big-endian"] = b"\5" + b"".join(encode(pdu, little_endian=False) for pdu in pdus)
    for name, pdus in CLIENT.items():
        seeds[f"client/{name}"] = b"\0" + b"".join(encode(pdu) for pdu in pdus)
        seeds[f"client/{name}-bound"] = b"\x80" + b"".join(encode(pdu) for pdu in pdus[1:])
    for name, pdus in {**SERVER, **CLIENT}.items():
        seeds[f"codec/{name}"] = encode(pdus[-1])
    for ndr64 in (False, True):
        seeds[f"codec/stub-request-{32 + 32 * ndr64}"] = interface.encode_request(_MESSAGE, ndr64=ndr64)
        seeds[f"codec/stub-response-{32 + 32 * ndr64}"] = interface.encode_response(0, _MESSAGE, ndr64=ndr64)
    for name, content in event_seeds.seeds().items():
        seeds[f"events/{name}"] = content
    seeds["server/http"] = b"\0GET / HTTP/1.1\r\nHost: kms.example\r\n\r\n"
    seeds["server/tls"] = b"\0" + bytes.fromhex("16030100c8010000c40303") + bytes(32)
    return seeds


if __name__ == "__main__":
    for path, data in corpus().items():
        (CORPUS / path).parent.mkdir(parents=True, exist_ok=True)
        (CORPUS / path).write_bytes(data)
