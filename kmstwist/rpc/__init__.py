"""Connection-oriented DCE/RPC without any I/O: bytes in, events and bytes out. No sockets, no clock, no Twisted.

The two ends are `ServerAssociation` (all associations of one server share an `RpcServer`) and `ClientAssociation`. Each
takes the bytes read from its connection (`receive_data`), returns the events they amount to, and gives the bytes to
write (`data_to_send`):

    server = RpcServer((Interface(SyntaxId.make("…", 1), operations=1),))
    association = ServerAssociation(server, secondary_address="1688", client="10.0.0.7")
    for event in association.receive_data(data):
        if isinstance(event, CallReceived):
            association.respond(event.call, stub)
    transport.write(association.data_to_send())

Below them: PDUs as objects (`encode`, `decode`), stubs (`StubReader`, `StubWriter`), and the management interface that
every RPC server has (`mgmt`). Which interface is spoken is up to the caller.

Everything that users of this package need is exported here; its modules are private to it.
"""

from kmstwist.rpc import mgmt
from kmstwist.rpc.client.actions import MAX_RESPONSE
from kmstwist.rpc.client.association import ClientAssociation
from kmstwist.rpc.client.events import (
    AcceptedContext,
    BindRejected,
    Bound,
    ClientEvent,
    FaultReceived,
    ResponseReceived,
    ServerBroke,
    ShutdownRequested,
)
from kmstwist.rpc.decoding import Header, decode, decode_header
from kmstwist.rpc.encoding import encode
from kmstwist.rpc.fragments import MIN_FRAGMENT
from kmstwist.rpc.interfaces import Interface
from kmstwist.rpc.ndr import StubError, StubReader, StubWriter
from kmstwist.rpc.pdu import (
    CONC_MPX,
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    MAX_FRAGMENT,
    MAYBE,
    OBJECT_UUID,
    PENDING_CANCEL,
    SUPPORT_HEADER_SIGN,
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
    Flags,
    Orphaned,
    OtherPdu,
    PacketType,
    Pdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.server.association import ServerAssociation
from kmstwist.rpc.server.behaviour import (
    NEWEST_WINDOWS,
    WINDOWS_2012_R2,
    WINDOWS_2025,
    WINDOWS_VERSIONS,
    WindowsVersion,
)
from kmstwist.rpc.server.events import Call, CallOrphaned, CallReceived, Ended, Event, Refused
from kmstwist.rpc.server.groups import AssociationGroups
from kmstwist.rpc.server.server import Limits, RpcServer
from kmstwist.rpc.status import ContextResult, FaultStatus, ProviderReason, RejectReason
from kmstwist.rpc.syntax import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    NULL_SYNTAX,
    SyntaxId,
    feature_bits,
    feature_syntax,
)

__all__ = [
    "CONC_MPX",
    "DID_NOT_EXECUTE",
    "FEATURE_KEEP_CONNECTION_ON_ORPHAN",
    "FEATURE_SECURITY_CONTEXT_MULTIPLEXING",
    "FIRST_FRAG",
    "LAST_FRAG",
    "MAX_FRAGMENT",
    "MAX_RESPONSE",
    "MAYBE",
    "MGMT_INTERFACE",
    "MIN_FRAGMENT",
    "NDR32",
    "NDR64",
    "NEWEST_WINDOWS",
    "NULL_SYNTAX",
    "OBJECT_UUID",
    "PENDING_CANCEL",
    "SUPPORT_HEADER_SIGN",
    "WHOLE",
    "WINDOWS_2012_R2",
    "WINDOWS_2025",
    "WINDOWS_VERSIONS",
    "AcceptedContext",
    "AlterContext",
    "AlterContextResp",
    "AssociationGroups",
    "Auth3",
    "AuthVerifier",
    "Bind",
    "BindAck",
    "BindNak",
    "BindRejected",
    "Bound",
    "Call",
    "CallOrphaned",
    "CallReceived",
    "ClientAssociation",
    "ClientEvent",
    "CoCancel",
    "ContextOutcome",
    "ContextResult",
    "Ended",
    "Event",
    "Fault",
    "FaultReceived",
    "FaultStatus",
    "Flags",
    "Header",
    "Interface",
    "Limits",
    "Orphaned",
    "OtherPdu",
    "PacketType",
    "Pdu",
    "PduError",
    "PresentationContext",
    "ProviderReason",
    "Refused",
    "RejectReason",
    "Request",
    "Response",
    "ResponseReceived",
    "RpcServer",
    "ServerAssociation",
    "ServerBroke",
    "Shutdown",
    "ShutdownRequested",
    "StubError",
    "StubReader",
    "StubWriter",
    "SyntaxId",
    "WindowsVersion",
    "decode",
    "decode_header",
    "encode",
    "feature_bits",
    "feature_syntax",
    "mgmt",
]
