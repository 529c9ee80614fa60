"""The KMS interface over RPC: its identifier, what a Windows client proposes for it, and its one operation's stubs.

Source: Microsoft's Volume Activation Operations Guide, "KMS RPC Messages". The operation's stubs are in `activation`,
beside the call that is made of them.
"""

from __future__ import annotations

from typing import Final

from kmstwist.kms.activation import (
    MAX_MESSAGE_SIZE,
    REQUEST_ACTIVATION,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from kmstwist.rpc import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    Interface,
    PresentationContext,
    SyntaxId,
    feature_syntax,
)

__all__ = [
    "KMS",
    "KMS_INTERFACE",
    "MANAGEMENT_CONTEXTS",
    "MAX_MESSAGE_SIZE",
    "REQUEST_ACTIVATION",
    "WINDOWS_CONTEXTS",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
]

#: Volume Activation Operations Guide, "KMS RPC Messages".
KMS_INTERFACE: Final = SyntaxId.make("51c82175-844e-4750-b0d8-ec255555bc06", 1)
#: The interface as a KMS host offers it.
KMS: Final = Interface(KMS_INTERFACE, operations=1)

#: What a Windows client (Vista and later) proposes: the interface in NDR32, in NDR64, and feature negotiation.
WINDOWS_CONTEXTS: Final = (
    PresentationContext(0, KMS_INTERFACE, (NDR32,)),
    PresentationContext(1, KMS_INTERFACE, (NDR64,)),
    PresentationContext(
        2,
        KMS_INTERFACE,
        (feature_syntax(FEATURE_SECURITY_CONTEXT_MULTIPLEXING | FEATURE_KEEP_CONNECTION_ON_ORPHAN),),
    ),
)
#: The management interface, for an alter_context on an association that was bound with those.
MANAGEMENT_CONTEXTS: Final = (PresentationContext(3, MGMT_INTERFACE, (NDR32,)),)
