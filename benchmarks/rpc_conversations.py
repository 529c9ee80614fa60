"""RPC conversations through the pure objects: bind, request, response; no sockets.

A conversation is what a KMS client does with a server: a Windows client's bind with its three contexts and a
RequestActivation with a message of V6's size come in, a bind_ack and a response go out. Measured are the server's side,
from the bytes received to the bytes to send, with the connection's beginning and end; and both of a gateway's sides:
that one, and a client association, bound before, that carries the call to the host behind.

The reference, in the same run: impacket decodes the same bind and request and encodes the same bind_ack and response,
which is the codec's part alone, without any state or rule.
"""

from __future__ import annotations

from impacket.dcerpc.v5 import rpcrt

from benchmarks import harness
from benchmarks.canned import ACK, RESPONSE
from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    Bind,
    CallReceived,
    ClientAssociation,
    Interface,
    Request,
    ResponseReceived,
    RpcServer,
    ServerAssociation,
    encode,
)

AIM = 15.0
_STUB = interface.encode_request(bytes(276))
BIND = encode(Bind(2, WINDOWS_CONTEXTS))
REQUEST = encode(Request(2, 0, 0, _STUB, len(_STUB)))
ANSWER = interface.encode_response(0, bytes(200))
SERVER = RpcServer((Interface(KMS_INTERFACE, operations=1),))


def conversation() -> bytes:
    """One conversation; the bytes of the response."""
    association = ServerAssociation(SERVER, "1688")
    association.receive_data(BIND)
    association.data_to_send()
    [event] = association.receive_data(REQUEST)
    assert type(event) is CallReceived
    association.respond(event.call, ANSWER)
    response = association.data_to_send()
    association.connection_lost()
    return response


def bound() -> ClientAssociation:
    """A client association whose bind the host behind has acknowledged."""
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    asked = association.data_to_send()
    association.receive_data(ACK[:12] + asked[12:16] + ACK[16:])
    return association


UPSTREAM = bound()


def both_ends() -> bytes:
    """One conversation through a gateway; the bytes of the response."""
    association = ServerAssociation(SERVER, "1688")
    association.receive_data(BIND)
    association.data_to_send()
    [event] = association.receive_data(REQUEST)
    assert type(event) is CallReceived
    message = interface.decode_request(event.call.stub)
    context = UPSTREAM.context_for(KMS_INTERFACE)
    assert context is not None
    UPSTREAM.call(context, interface.REQUEST_ACTIVATION, interface.encode_request(message))
    asked = UPSTREAM.data_to_send()
    [answer] = UPSTREAM.receive_data(RESPONSE[:12] + asked[12:16] + RESPONSE[16:])
    assert type(answer) is ResponseReceived
    association.respond(event.call, interface.encode_response(*interface.decode_response(answer.stub)))
    response = association.data_to_send()
    association.connection_lost()
    return response


def impacket_codec() -> tuple[bytes, bytes]:
    """impacket decodes the bind and the request, and encodes a bind_ack and a response."""
    header = rpcrt.MSRPCHeader(BIND)
    bind = rpcrt.MSRPCBind(header["pduData"])
    ack = rpcrt.MSRPCBindAck()
    ack["type"] = rpcrt.MSRPC_BINDACK
    ack["flags"] = header["flags"]
    ack["call_id"] = header["call_id"]
    ack["max_tfrag"] = bind["max_tfrag"]
    ack["max_rfrag"] = bind["max_rfrag"]
    ack["assoc_group"] = 1
    ack["SecondaryAddr"] = "1688"
    ack["SecondaryAddrLen"] = 5
    ack["Pad"] = b"\0"
    ack["ctx_num"] = bind["ctx_num"]
    items, data = b"", bind["ctx_items"]
    for _ in range(bind["ctx_num"]):
        item = rpcrt.CtxItem(data)
        data = data[len(item) :]
        result = rpcrt.CtxItemResult()
        result["Result"] = 0
        result["Reason"] = 0
        result["TransferSyntax"] = item["TransferSyntax"]
        items += result.getData()
    ack["ctx_items"] = items
    ack["frag_len"] = 28 + 8 + len(items)
    request = rpcrt.MSRPCRequestHeader(REQUEST)
    response = rpcrt.MSRPCRespHeader()
    response["type"] = rpcrt.MSRPC_RESPONSE
    response["call_id"] = request["call_id"]
    response["ctx_id"] = request["ctx_id"]
    response["alloc_hint"] = len(ANSWER)
    response["pduData"] = ANSWER
    return ack.getData(), response.get_packet()


def main() -> None:
    """Measure and report."""
    ours = harness.microseconds(conversation)
    both = harness.microseconds(both_ends)
    reference = harness.microseconds(impacket_codec)
    harness.report(
        "rpc_conversations",
        f"""# RPC conversations

| what | microseconds | per second |
| --- | --- | --- |
| kmstwist: bind, request, response, with all rules | {ours:.1f} | {1e6 / ours:,.0f} |
| kmstwist: the same with a client association behind it, as in a gateway | {both:.1f} | {1e6 / both:,.0f} |
| impacket: decoding and encoding the same PDUs, no rules | {reference:.1f} | {1e6 / reference:,.0f} |

kmstwist takes 1/{reference / ours:.0f} of the reference's time; the aim is under {AIM:g} microseconds for both ends.
Processor time, best of 15 rounds of 0.15 s.

Machine: {harness.machine()}.

## Profile

20,000 conversations under cProfile, which makes calls look dearer than they are:

```
{harness.profile(conversation, 20_000, 16)}
```

What was done, and what each step gained, is in `benchmarks/notes.md`.
""",
    )


if __name__ == "__main__":
    main()
