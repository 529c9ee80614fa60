"""Published codes beside the usual ones of activation: the rest of `slerror.h`, and what other components answer.

`data/slerror.csv` holds every code of the Windows SDK's `slerror.h` with its symbol and its text. The cure follows from
the component that reports it: the activation server, the licence store, the security processor and so on.
`OTHERS` are codes of other components that slmgr, ospp and Settings print during activation, after Microsoft's pages
"Troubleshoot Windows activation error codes" and "Get help with Windows activation errors" and [MS-ERREF].
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

_KEY = "check the key's edition and spelling; ask a Microsoft licensing activation center if it is right"
_BLOCKED = "get a new key from Microsoft; a client setup key cannot be activated online, it needs a KMS host"
_ONLINE = (
    "the machine must reach Microsoft's activation servers by HTTPS, through its proxy if it has one; "
    "a KMS client does not need them: install its client setup key and set its host"
)
_WMI = "repair Windows' management repository: winmgmt /verifyrepository, then winmgmt /salvagerepository; restart"
_NO_ANSWER = "check that the KMS host is up, that its name resolves, and that TCP 1688 is open all the way to it"
_CERTIFICATES = "correct the machine's date and time, update its root certificates, and look at proxies that break TLS"

#: The words by which a text of slerror.h shows the component that reports it, and the cure; the first match counts.
_CURES = (
    ("has a store license", "nothing to do: the product is licensed, and this is for information"),
    (
        "missing a required OEM license",
        "the key is a manufacturer's and this is not its machine: use a volume, MAK or retail key",
    ),
    ("product key has been blocked", _BLOCKED),
    ("exceeded its unlock limit", "ask a Microsoft licensing activation center for more activations"),
    ("Multiple Activation Key", "ask a Microsoft licensing activation center for more activations"),
    ("time based activation", "ask a Microsoft licensing activation center whether the key may be used now"),
    ("clock time", "correct the machine's clock"),
    ("trusted time", "correct the machine's clock, and restart"),
    ("network error", "try again later; " + _ONLINE),
    ("networking problem", "try again later; " + _ONLINE),
    ("could not connect to the activation server", _ONLINE),
    ("another activation attempt in progress", "wait until that attempt ends, then see slmgr /dlv"),
    ("product key", _KEY),
    ("downlevel product key", _KEY),
    ("Key Management Service", "see event 12288 on the client and 12290 on the host for the first cause"),
    ("Confirmation ID", "read the installation id again (slmgr /dti), and type the confirmation id again (slmgr /atp)"),
    ("offline activation data", "type the confirmation id again (slmgr /atp)"),
    ("Active Directory", "see the activation objects of the forest, and that the machine is joined to a domain of it"),
    ("token-based", "token-based activation needs its certificate and issuance licence: see slmgr /ltc and /lil"),
    ("certificate", "token-based activation needs a certificate that its licence names: see slmgr /ltc"),
    ("smartcard", "insert the card that holds the certificate, or use another way of activation"),
    ("thumbprint", "give the thumbprint of a certificate that slmgr /ltc lists"),
    ("re-arm", "activate instead; make images from an installation with rearms left"),
    ("Store upgrade license", "get the upgrade's licence from the Microsoft Store again"),
    ("Token Store", "rebuild the licence store: stop sppsvc, rename tokens.dat, start it, slmgr /rilc, activate again"),
    (
        "license store",
        "rebuild the licence store: stop sppsvc, rename tokens.dat, start it, slmgr /rilc, activate again",
    ),
    (
        "trusted data store",
        "restart; if it comes again, repair Windows' files: DISM /Online /Cleanup-Image /RestoreHealth",
    ),
    (
        "security processor",
        "restart; if it comes again, repair Windows' files: DISM /Online /Cleanup-Image /RestoreHealth",
    ),
    (
        "firmware",
        "the key in the firmware is not the installed edition's: install a key of that edition, slmgr /ipk KEY",
    ),
    ("BIOS", "the machine's firmware shows no such licence: use a volume, MAK or retail key"),
    ("hardware", "the hardware changed: activate again with slmgr /ato"),
    ("edition", "install a key of the edition that runs, or change the edition first"),
    ("virtual machine", "use a client setup key and a KMS host, or check that the Hyper-V host is activated"),
    ("Hyper-V", "use a client setup key and a KMS host instead of automatic virtual machine activation"),
    ("host machine", "activate the Hyper-V host, or use a client setup key and a KMS host"),
    ("Genuine Validation", "install a genuine key and activate; ask a Microsoft licensing activation center"),
    ("genuine", "install a genuine key and activate; ask a Microsoft licensing activation center"),
    ("grace period expired", "activate: slmgr /ato; the machine is in notification mode until then"),
    ("grace period", "activate before it ends; slmgr /xpr says when"),
    ("validity period", "activate before it ends; slmgr /xpr says when"),
    (
        "owner should verify the Product Use Rights",
        "nothing to do: the product is licensed, and this is for information",
    ),
    ("activation server", "try again later; if it stays, ask a Microsoft licensing activation center"),
    ("license", "reinstall the licence files: slmgr /rilc, and restart"),
    ("not eligible", "the machine's digital licence cannot be used again: install a product key, slmgr /ipk KEY"),
)
_ELSE = "Microsoft publishes no cure; see the Application event log, and slmgr /dlv for the licence's state"

#: Codes of other components: symbol, text, cure.
OTHERS: dict[int, tuple[str, str, str]] = {
    0x80004002: ("E_NOINTERFACE", "No such interface supported.", _WMI),
    0x80004005: (
        "E_FAIL",
        "Unspecified error.",
        "restart the Software Protection service; see the Application event log",
    ),
    0x80040154: ("REGDB_E_CLASSNOTREG", "Class not registered.", _WMI),
    0x80041001: ("WBEM_E_FAILED", "Generic failure.", _WMI),
    0x80041002: (
        "WBEM_E_NOT_FOUND",
        "Not found.",
        "check that the product or key is installed: slmgr /dlv All",
    ),
    0x80041003: (
        "WBEM_E_ACCESS_DENIED",
        "Access denied.",
        "run the command from an elevated prompt",
    ),
    0x80041006: (
        "WBEM_E_OUT_OF_MEMORY",
        "Out of memory.",
        "free memory on the machine",
    ),
    0x80041008: ("WBEM_E_INVALID_PARAMETER", "Invalid parameter.", "check the command's arguments"),
    0x8004100E: ("WBEM_E_INVALID_NAMESPACE", "Invalid namespace.", _WMI),
    0x80041010: ("WBEM_E_INVALID_CLASS", "Invalid class.", _WMI),
    0x80041013: ("WBEM_E_PROVIDER_LOAD_FAILURE", "Provider load failure.", _WMI),
    0x80041014: ("WBEM_E_INITIALIZATION_FAILURE", "Initialization failure.", _WMI),
    0x80041017: ("WBEM_E_INVALID_QUERY", "Invalid query.", _WMI),
    0x80041016: ("WBEM_E_INVALID_OPERATION", "Invalid operation.", _WMI),
    0x80041021: ("WBEM_E_INVALID_SYNTAX", "Invalid syntax.", _WMI),
    0x8007001F: ("HRESULT_FROM_WIN32(ERROR_GEN_FAILURE)", "A device attached to the system is not functioning.", _ELSE),
    0x80070003: (
        "HRESULT_FROM_WIN32(ERROR_PATH_NOT_FOUND)",
        "The system cannot find the path specified.",
        "check the path",
    ),
    0x8007000E: ("E_OUTOFMEMORY", "Not enough memory resources are available.", "free memory on the machine"),
    0x80070020: (
        "HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION)",
        "The process cannot access the file because it is being used by another process.",
        "restart the Software Protection service (sppsvc), or the machine",
    ),
    0x80070035: ("HRESULT_FROM_WIN32(ERROR_BAD_NETPATH)", "The network path was not found.", _NO_ANSWER),
    0x80070070: (
        "HRESULT_FROM_WIN32(ERROR_DISK_FULL)",
        "There is not enough space on the disk.",
        "free space on the machine's disk",
    ),
    0x80070078: (
        "HRESULT_FROM_WIN32(ERROR_CALL_NOT_IMPLEMENTED)",
        "This function is not supported on this system.",
        _ELSE,
    ),
    0x800704C7: (
        "HRESULT_FROM_WIN32(ERROR_CANCELLED)",
        "The operation was canceled by the user.",
        "run the command again",
    ),
    0x800704CF: (
        "HRESULT_FROM_WIN32(ERROR_NETWORK_UNREACHABLE)",
        "The network location cannot be reached.",
        "repair the machine's network",
    ),
    0x800705B4: (
        "HRESULT_FROM_WIN32(ERROR_TIMEOUT)",
        "This operation returned because the timeout period expired.",
        _NO_ANSWER,
    ),
    0x80070643: (
        "HRESULT_FROM_WIN32(ERROR_INSTALL_FAILURE)",
        "Fatal error during installation.",
        "see the installer's log; install the licence or update again",
    ),
    0x80070652: (
        "HRESULT_FROM_WIN32(ERROR_INSTALL_ALREADY_RUNNING)",
        "Another installation is already in progress.",
        "wait until it ends, restart, and activate again",
    ),
    0x8007139F: (
        "HRESULT_FROM_WIN32(ERROR_INVALID_STATE)",
        "The group or resource is not in the correct state to perform the requested operation.",
        "look at event 8198 and at each event 12288 for the cause; " + _NO_ANSWER,
    ),
    0x80072733: (
        "HRESULT_FROM_WIN32(WSAEWOULDBLOCK)",
        "A non-blocking socket operation could not be completed immediately.",
        _NO_ANSWER,
    ),
    0x80072743: (
        "HRESULT_FROM_WIN32(WSAENETUNREACH)",
        "A socket operation was attempted to an unreachable network.",
        "repair the route to the KMS host",
    ),
    0x80072745: (
        "HRESULT_FROM_WIN32(WSAECONNABORTED)",
        "An established connection was aborted by the software in your host machine.",
        _NO_ANSWER,
    ),
    0x80072751: (
        "HRESULT_FROM_WIN32(WSAEHOSTUNREACH)",
        "A socket operation was attempted to an unreachable host.",
        "repair the route to the KMS host",
    ),
    0x80072AFA: (
        "HRESULT_FROM_WIN32(WSATRY_AGAIN)",
        "The DNS server gave no answer for now.",
        "repair the network or the DNS server",
    ),
    0x80072AFC: (
        "HRESULT_FROM_WIN32(WSANO_DATA)",
        "The requested name is valid, but no data of the requested type was found.",
        "check the host's name and the DNS",
    ),
    0x80072329: ("HRESULT_FROM_WIN32(DNS_ERROR_RCODE_FORMAT_ERROR)", "DNS server unable to interpret format.", _ELSE),
    0x8007232C: (
        "HRESULT_FROM_WIN32(DNS_ERROR_RCODE_NOT_IMPLEMENTED)",
        "DNS request not supported by name server.",
        _ELSE,
    ),
    0x8007232D: (
        "HRESULT_FROM_WIN32(DNS_ERROR_RCODE_REFUSED)",
        "DNS operation refused.",
        "on a KMS host that publishes: let its account update the zone; on a client: use a DNS server that answers it",
    ),
    0x80072338: (
        "HRESULT_FROM_WIN32(DNS_ERROR_RCODE_BADSIG)",
        "DNS signature failed to verify.",
        "on a KMS host that publishes: the zone takes secure updates only, and not from this machine; let its account "
        "write the record, or make the record by hand",
    ),
    0x80072EE2: ("HRESULT_FROM_WIN32(ERROR_INTERNET_TIMEOUT)", "The operation timed out.", _ONLINE),
    0x80072EFD: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_CANNOT_CONNECT)",
        "A connection with the server could not be established.",
        _ONLINE,
    ),
    0x80072EFE: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_CONNECTION_ABORTED)",
        "The connection with the server was terminated abnormally.",
        _ONLINE,
    ),
    0x80072EFF: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_CONNECTION_RESET)",
        "The connection with the server was reset.",
        _ONLINE,
    ),
    0x80072F05: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_SEC_CERT_DATE_INVALID)",
        "The date in the certificate is invalid or has expired.",
        _CERTIFICATES,
    ),
    0x80072F06: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_SEC_CERT_CN_INVALID)",
        "The host name in the certificate is invalid or does not match.",
        _CERTIFICATES,
    ),
    0x80072F0C: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_CLIENT_AUTH_CERT_NEEDED)",
        "A certificate is required to complete client authentication.",
        _CERTIFICATES,
    ),
    0x80072F0D: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_INVALID_CA)",
        "The certificate authority is invalid or incorrect.",
        _CERTIFICATES,
    ),
    0x80072F76: ("HRESULT_FROM_WIN32(ERROR_HTTP_HEADER_NOT_FOUND)", "The requested header was not found.", _ONLINE),
    0x80072F78: (
        "HRESULT_FROM_WIN32(ERROR_HTTP_INVALID_SERVER_RESPONSE)",
        "The server returned an invalid or unrecognized response.",
        _ONLINE,
    ),
    0x80072F7D: (
        "HRESULT_FROM_WIN32(ERROR_INTERNET_SECURITY_CHANNEL_ERROR)",
        "An error occurred in the secure channel support.",
        _CERTIFICATES,
    ),
    0x80072F8F: (
        "HRESULT_FROM_WIN32(ERROR_WINHTTP_SECURE_FAILURE)",
        "One or more errors were found in the certificate sent by the server.",
        _CERTIFICATES,
    ),
    0x80090325: (
        "SEC_E_UNTRUSTED_ROOT",
        "The certificate chain was issued by an authority that is not trusted.",
        _CERTIFICATES,
    ),
    0x80092328: (
        "",
        "DNS name does not exist.",
        "check that the SRV record _vlmcs._tcp exists in the client's DNS domain, or set the host: slmgr /skms HOST",
    ),
    0x80190191: ("HTTP_E_STATUS_DENIED", "Unauthorized (401).", _ONLINE),
    0x80190193: ("HTTP_E_STATUS_FORBIDDEN", "Forbidden (403).", _ONLINE),
    0x80190194: ("HTTP_E_STATUS_NOT_FOUND", "Not found (404).", _ONLINE),
    0x80190197: ("HTTP_E_STATUS_PROXY_AUTH_REQ", "Proxy authentication required (407).", _ONLINE),
    0x801901F7: ("HTTP_E_STATUS_SERVICE_UNAVAIL", "Service unavailable (503).", "try again later; " + _ONLINE),
    0x80248014: (
        "WU_E_DS_UNKNOWNSERVICE",
        "An operation did not complete because the service was not in the data store.",
        "restart, and try again",
    ),
    0x87E10BC6: ("", "An error occurred with the activation or licensing servers.", "try again in a few hours"),
    0xC0000022: (
        "STATUS_ACCESS_DENIED",
        "Access is denied.",
        "run the command from an elevated prompt; see the rights on the licence store",
    ),
    0xC0000272: ("STATUS_NO_MATCH", "Microsoft's activation server is not available now.", "try again later"),
    0xD0000272: ("", "Microsoft's activation server is not available now.", "try again later"),
    0xC0020017: ("RPC_NT_SERVER_UNAVAILABLE", "The RPC server is unavailable.", _NO_ANSWER),
    0xC0020018: (
        "RPC_NT_SERVER_TOO_BUSY",
        "The RPC server is too busy to complete this operation.",
        "try again later; look at the KMS host's load",
    ),
    0xC002001B: (
        "RPC_NT_CALL_FAILED",
        "The remote procedure call failed.",
        "the connection broke in mid-call: " + _NO_ANSWER,
    ),
    0xC002001C: ("RPC_NT_CALL_FAILED_DNE", "The remote procedure call failed and did not execute.", _NO_ANSWER),
    0xC002001D: (
        "RPC_NT_PROTOCOL_ERROR",
        "An RPC protocol error occurred.",
        "see what listens at the host's address, and for a middlebox in between",
    ),
}


@cache
def others() -> dict[int, tuple[str, str, str]]:
    """`OTHERS`, and the rarer codes in `data/others.csv`."""
    text = resources.files("kmstwist.kms").joinpath("data/others.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return OTHERS | {int(row["code"], 16): (row["symbol"], row["text"], row["cure"]) for row in rows}


@cache
def slerror() -> dict[int, tuple[str, str, str]]:
    """Every code of `slerror.h`: its symbol, its text, and its cure."""
    text = resources.files("kmstwist.kms").joinpath("data/slerror.csv").read_text(encoding="utf-8")
    return {
        int(row["code"], 16): (row["symbol"], row["text"], _cure(row["text"]))
        for row in csv.DictReader(text.splitlines())
    }


def _cure(text: str) -> str:
    folded = text.casefold()
    return next((cure for words, cure in _CURES if words.casefold() in folded), _ELSE)
