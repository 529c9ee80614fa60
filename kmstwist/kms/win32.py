"""Win32 error codes and RPC fault statuses that a KMS call can end with.

Numbers, names and texts of `Win32Error` are those of [MS-ERREF] 2.2, of `NcaStatus` those of C706 appendix E, which
gives names only: those texts are ours.
"""

from __future__ import annotations

from kmstwist.kms.explained_code import ExplainedCode

_NETWORK = "check that the host is up and that TCP 1688 is open all the way to it"
_NOT_KMS = "check that the address and port are a KMS host's"
_BROKEN = "client and server do not understand each other: see what listens there, and for a middlebox in between"


class Win32Error(ExplainedCode):
    """Win32 error codes; `.text` is Windows' own sentence, `.cure` what it means for a KMS call."""

    ERROR_FILE_NOT_FOUND = 2, "The system cannot find the file specified.", "check the path"
    ERROR_ACCESS_DENIED = (
        5,
        "Access is denied.",
        "as an RPC fault: the server refused the call; at a prompt: run it elevated",
    )
    ERROR_NOT_ENOUGH_MEMORY = 8, "Not enough storage is available to process this command.", "free memory on the host"
    ERROR_INVALID_DATA = 13, "The data is invalid.", "the request was not one that the host could use"
    ERROR_INVALID_PARAMETER = 87, "The parameter is incorrect.", "check the command's arguments"
    ERROR_INVALID_NAME = (
        123,
        "The filename, directory name, or volume label syntax is incorrect.",
        "check the name; in activation it means a host name that DNS cannot use",
    )
    ERROR_SERVICE_REQUEST_TIMEOUT = (
        1053,
        "The service did not respond to the start or control request in a timely fashion.",
        "start the Software Protection service (sppsvc) again",
    )
    ERROR_SERVICE_DISABLED = (
        1058,
        "The service cannot be started, either because it is disabled or because it has no enabled devices associated "
        "with it.",
        "enable the Software Protection service (sppsvc)",
    )
    ERROR_SERVICE_DOES_NOT_EXIST = (
        1060,
        "The specified service does not exist as an installed service.",
        "see which version of Windows or Office this is; the licensing service is missing",
    )
    ERROR_SERVICE_NOT_ACTIVE = (
        1062,
        "The service has not been started.",
        "start the Software Protection service: net start sppsvc",
    )
    ERROR_NOT_FOUND = 1168, "Element not found.", "in activation: the product key did not work; install it again"
    RPC_S_UNKNOWN_IF = 1717, "The interface is unknown.", _NOT_KMS
    RPC_S_SERVER_UNAVAILABLE = 1722, "The RPC server is unavailable.", _NETWORK
    RPC_S_SERVER_TOO_BUSY = (
        1723,
        "The RPC server is too busy to complete this operation.",
        "try again later, and look at the host's load",
    )
    RPC_S_NO_CALL_ACTIVE = 1725, "There are no remote procedure calls active on this thread.", _BROKEN
    RPC_S_CALL_FAILED = 1726, "The remote procedure call failed.", "the connection broke in mid-call: " + _NETWORK
    RPC_S_CALL_FAILED_DNE = 1727, "The remote procedure call failed and did not execute.", _NETWORK
    RPC_S_PROTOCOL_ERROR = 1728, "A remote procedure call (RPC) protocol error occurred.", _BROKEN
    RPC_S_PROCNUM_OUT_OF_RANGE = 1745, "The procedure number is out of range.", _NOT_KMS
    EPT_S_NOT_REGISTERED = (
        1753,
        "There are no more endpoints available from the endpoint mapper.",
        "the RPC service asked for is not running there: start the Software Protection service on the host",
    )
    RPC_X_BAD_STUB_DATA = 1783, "The stub received bad data.", _BROKEN
    DNS_ERROR_RCODE_SERVER_FAILURE = 9002, "DNS server failure.", "repair the network or the DNS server"
    DNS_ERROR_RCODE_NAME_ERROR = (
        9003,
        "DNS name does not exist.",
        "check that the SRV record _vlmcs._tcp exists in the client's DNS domain",
    )
    DNS_INFO_NO_RECORDS = (
        9501,
        "No records found for given DNS query.",
        "check that the SRV record _vlmcs._tcp exists in the client's DNS domain",
    )
    DNS_ERROR_NO_DNS_SERVERS = 9852, "No DNS servers configured for local system.", "give the machine a DNS server"
    WSAECONNRESET = (
        10054,
        "An existing connection was forcibly closed by the remote host.",
        "look at the host's or the gateway's log for why, and for a middlebox in between",
    )
    WSAETIMEDOUT = (
        10060,
        "A connection attempt failed because the connected party did not properly respond after a period of time, or "
        "established connection failed because connected host has failed to respond.",
        _NETWORK,
    )
    WSAECONNREFUSED = (
        10061,
        "No connection could be made because the target machine actively refused it.",
        "nothing listens there: start the KMS host, or check address and port",
    )
    WSAHOST_NOT_FOUND = 11001, "No such host is known.", "check the host's name and the DNS"
    ERROR_INTERNET_TIMEOUT = (
        12002,
        "The request has timed out.",
        "the activation server is out of reach (MAK, retail): check the proxy, or activate by telephone",
    )
    ERROR_INTERNET_NAME_NOT_RESOLVED = (
        12007,
        "The server name could not be resolved.",
        "the activation server's name does not resolve (MAK, retail): check DNS and proxy. A KMS client that shows "
        "this has no client setup key installed",
    )


class NcaStatus(ExplainedCode):
    """Statuses of RPC fault PDUs; the name is the C706 one in capitals, `.text` and `.cure` are ours."""

    NCA_S_FAULT_ADDR_ERROR = 0x1C000002, "The server's procedure failed on a bad address.", "look at the host's logs"
    NCA_S_FAULT_INVALID_TAG = 0x1C000006, "The call's arguments hold an invalid union tag.", _BROKEN
    NCA_S_FAULT_INVALID_BOUND = 0x1C000007, "The call's arguments hold an array bound that is out of range.", _BROKEN
    NCA_S_RPC_VERSION_MISMATCH = 0x1C000008, "The server speaks another version of the RPC protocol.", _BROKEN
    NCA_S_UNSPEC_REJECT = 0x1C000009, "The server rejected the call and gave no reason.", "look at the host's logs"
    NCA_S_MANAGER_NOT_ENTERED = 0x1C00000C, "The server's procedure was never entered.", "the call may be repeated"
    NCA_S_FAULT_CANCEL = 0x1C00000D, "The call was cancelled.", "the call may be repeated"
    NCA_S_FAULT_UNSPEC = 0x1C000012, "The server's procedure failed and gave no reason.", "look at the host's logs"
    NCA_S_FAULT_CONTEXT_MISMATCH = 0x1C00001A, "The call names a context handle the server does not have.", _BROKEN
    NCA_S_FAULT_REMOTE_NO_MEMORY = 0x1C00001B, "The server is out of memory.", "free memory on the host"
    NCA_S_INVALID_PRES_CONTEXT_ID = (
        0x1C00001C,
        "The call names a presentation context that was not accepted on this connection.",
        _BROKEN,
    )
    NCA_S_UNSUPPORTED_AUTHN_LEVEL = (
        0x1C00001D,
        "The server does not support the authentication level asked for.",
        "KMS calls carry no authentication: see what calls",
    )
    NCA_S_COMM_FAILURE = 0x1C010001, "The connection failed during the call.", _NETWORK
    NCA_S_OP_RNG_ERROR = 0x1C010002, "The interface has no operation of this number.", _NOT_KMS
    NCA_S_UNK_IF = 0x1C010003, "The server does not offer this interface.", _NOT_KMS
    NCA_S_PROTO_ERROR = 0x1C01000B, "The peer broke the RPC protocol.", _BROKEN
    NCA_S_OUT_ARGS_TOO_BIG = 0x1C010013, "The call's results are too large to be sent.", _BROKEN
    NCA_S_SERVER_TOO_BUSY = (
        0x1C010014,
        "The server is too busy to take the call.",
        "try again later, and look at the host's load",
    )
    NCA_S_UNSUPPORTED_TYPE = 0x1C010017, "The server does not know the object type of this call.", _NOT_KMS
