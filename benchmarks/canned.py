"""A KMS host that answers every bind and every request with PDUs made beforehand, in a thread of its own."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress

from kmstwist.kms import interface
from kmstwist.kms.interface import WINDOWS_CONTEXTS
from kmstwist.rpc import (
    NDR32,
    Bind,
    BindAck,
    ContextOutcome,
    ContextResult,
    PacketType,
    ProviderReason,
    Request,
    Response,
    encode,
)

_MESSAGE = b"\0\0\6\0" + bytes(range(256))
_STUB = interface.encode_request(_MESSAGE)
#: What a Windows client sends.
BIND = encode(Bind(2, WINDOWS_CONTEXTS))
REQUEST = encode(Request(2, 0, 0, _STUB, len(_STUB)))
_OUTCOMES = (
    ContextOutcome(ContextResult.ACCEPTANCE, 0, NDR32),
    ContextOutcome(ContextResult.PROVIDER_REJECTION, ProviderReason.TRANSFER_SYNTAXES_NOT_SUPPORTED),
    ContextOutcome(ContextResult.NEGOTIATE_ACK, 3),
)
ACK = encode(BindAck(2, _OUTCOMES, 4280, 4280, 77, b"1688"))
_ANSWER = interface.encode_response(0, b"\4\0\6\0" + bytes(240))
RESPONSE = encode(Response(2, 0, _ANSWER, len(_ANSWER)))
_BIND_TYPE = int(PacketType.BIND)


def receive_pdu(peer: socket.socket) -> bytes:
    """One whole PDU, or as much of it as came before the peer closed."""
    data = b""
    while len(data) < 16 or len(data) < int.from_bytes(data[8:10], "little"):
        piece = peer.recv(65536)
        if not piece:
            break
        data += piece
    return data


class CannedHost:
    """Listens on `port` of the loopback address until the process ends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        sys.setprofile(None)
        while True:
            peer, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        sys.setprofile(None)
        with peer, suppress(ConnectionResetError):
            while pdu := receive_pdu(peer):
                answer = ACK if pdu[2] == _BIND_TYPE else RESPONSE
                peer.sendall(answer[:12] + pdu[12:16] + answer[16:])
