"""The numbers that answers of connection-oriented RPC carry: fault statuses, bind rejections, presentation results.

Fault statuses are C706 appendix E's (`nca_s_…`) and, where Windows sends its own error instead, Win32 codes
([MS-ERREF] 2.2), which reach the client's caller as `0x8007xxxx`.
"""

from __future__ import annotations

from enum import IntEnum


class FaultStatus(IntEnum):
    """The status of a fault PDU (C706 12.6.4.7 and appendix E; [MS-RPCE] 2.2.2.8, 3.3.3.5.1; [MS-ERREF] 2.2)."""

    #: The server refuses this client (Win32 ERROR_ACCESS_DENIED).
    ACCESS_DENIED = 0x00000005
    #: The server behind this one is not reachable (RPC_S_SERVER_UNAVAILABLE).
    SERVER_UNAVAILABLE = 0x000006BA
    #: The server has no room for the call; the client may try again (RPC_S_SERVER_TOO_BUSY).
    SERVER_TOO_BUSY = 0x000006BB
    #: A cancel for a call that is not there (RPC_S_NO_CALL_ACTIVE).
    NO_CALL_ACTIVE = 0x000006BD
    #: The call failed after it had begun (RPC_S_CALL_FAILED).
    CALL_FAILED = 0x000006BE
    #: The call's arguments cannot be unmarshalled (RPC_X_BAD_STUB_DATA).
    BAD_STUB_DATA = 0x000006F7
    #: The call's authentication is not that of its connection (RPC_S_SEC_PKG_ERROR).
    SECURITY_PACKAGE_ERROR = 0x00000721
    NCA_REMOTE_NO_MEMORY = 0x1C00001B
    NCA_COMM_FAILURE = 0x1C010001
    NCA_OP_RANGE = 0x1C010002
    NCA_UNKNOWN_INTERFACE = 0x1C010003
    NCA_PROTOCOL_ERROR = 0x1C01000B
    NCA_SERVER_TOO_BUSY = 0x1C010014


class RejectReason(IntEnum):
    """Why a bind_nak refuses the whole bind (C706 12.6.3.1, p_reject_reason_t; [MS-RPCE] 2.2.2.5)."""

    NOT_SPECIFIED = 0
    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2
    PROTOCOL_VERSION_NOT_SUPPORTED = 4
    AUTHENTICATION_TYPE_NOT_RECOGNIZED = 8
    INVALID_CHECKSUM = 9


class ContextResult(IntEnum):
    """The outcome for one presentation context (C706 12.6.3.1, p_cont_def_result_t; [MS-RPCE] 2.2.2.4)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    PROVIDER_REJECTION = 2
    #: Bind time feature negotiation: the reason field holds the accepted feature bits.
    NEGOTIATE_ACK = 3


class ProviderReason(IntEnum):
    """Why a presentation context is rejected (C706 12.6.3.1, p_provider_reason_t)."""

    NOT_SPECIFIED = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 1
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 2
    LOCAL_LIMIT_EXCEEDED = 3
