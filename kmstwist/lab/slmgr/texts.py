"""slmgr's own texts for status codes, which differ from Windows' message tables, and how it prints a failure."""

from __future__ import annotations

from kmstwist.kms.status import Status

_REPORTED = "The Software Licensing Service reported that "
_LOWER = "The software Licensing Service reported that "
_NOT_ACTIVATED = _REPORTED + "the computer could not be activated. "
_ELEVATED = "Access denied: the requested action requires elevated privileges"
TYPE_MISMATCH = 13
FILE_NOT_OPENED = 3002
NO_SUCH_OBJECT = 0x80072030
NO_SUCH_DOMAIN = 0x8007054B
REQUIRED_LICENCE_MISSING = 0xC004F304

_ERRORS = {
    0xC004C001: "The activation server determined the specified product key is invalid",
    0xC004C003: "The activation server determined the specified product key is blocked",
    0xC004C017: "The activation server determined the specified product key has been blocked for this geographic "
    "location.",
    0xC004B100: "The activation server determined that the computer could not be activated",
    0xC004C008: "The activation server determined that the specified product key could not be used",
    0xC004C020: "The activation server reported that the Multiple Activation Key has exceeded its limit",
    0xC004C021: "The activation server reported that the Multiple Activation Key extension limit has been exceeded",
    0xC004D307: "The maximum allowed number of re-arms has been exceeded. You must re-install the OS before trying to "
    "re-arm again",
    0xC004F009: _LOWER + "the grace period expired",
    0xC004F00F: "The Software Licensing Server reported that the hardware ID binding is beyond level of tolerance",
    0xC004F014: _REPORTED + "the product key is not available",
    0xC004F025: _ELEVATED,
    0xC004F02C: _LOWER + "the format for the offline activation data is incorrect",
    0xC004F035: _LOWER + "the computer could not be activated with a Volume license product key. Volume licensed "
    "systems require upgrading from a qualified operating system. Please contact your system administrator or use a "
    "different type of key",
    0xC004F038: _LOWER + "the computer could not be activated. The count reported by your Key Management Service (KMS) "
    "is insufficient. Please contact your system administrator",
    0xC004F039: _LOWER + "the computer could not be activated. The Key Management Service (KMS) is not enabled",
    0xC004F041: "The software Licensing Service determined that the Key Management Server (KMS) is not activated. KMS "
    "needs to be activated",
    0xC004F042: "The software Licensing Service determined that the specified Key Management Service (KMS) cannot be "
    "used",
    0xC004F050: _REPORTED + "the product key is invalid",
    0xC004F051: _LOWER + "the product key is blocked",
    0xC004F064: _LOWER + "the non-Genuine grace period expired",
    0xC004F065: _LOWER + "the application is running within the valid non-genuine period",
    0xC004F066: _REPORTED + "the product SKU is not found",
    0xC004F06B: "The software Licensing Service determined that it is running in a virtual machine. The Key Management "
    "Service (KMS) is not supported in this mode",
    0xC004F074: _NOT_ACTIVATED + "No Key Management Service (KMS) could be contacted. Please see the Application Event "
    "Log for additional information.",
    0xC004F075: _REPORTED + "the operation cannot be completed because the service is stopping",
    REQUIRED_LICENCE_MISSING: _REPORTED + "required license could not be found.",
    0xC004F305: _REPORTED + "there are no certificates found in the system that could activate the product.",
    0xC004F30D: _NOT_ACTIVATED + "The thumbprint is invalid.",
    0xC004F30E: _NOT_ACTIVATED + "A certificate for the thumbprint could not be found.",
    5: _ELEVATED,
    0x80070005: _ELEVATED,
    0x80070057: "The parameter is incorrect",
    0x8007232A: "DNS server failure",
    0x8007232B: "DNS name does not exist",
    0x800706BA: "The RPC server is unavailable",
    0x8007251D: "No records found for DNS query",
    # Texts of VBScript and ADO themselves.
    TYPE_MISMATCH: "Type mismatch (Microsoft VBScript runtime error)",
    FILE_NOT_OPENED: "File could not be opened. (ADODB.Stream)",
    NO_SUCH_OBJECT: "There is no such object on the server.",
}


def error_line(code: int, before: str = "Error: ") -> str:
    """The line that slmgr prints for a code: its own text, else where to look the code up."""
    number = f"0x{code:08X}" if code > 0x7FFF_FFFF else str(code)
    text = _ERRORS.get(code)
    if text is None:
        text = f"On a computer running Microsoft Windows non-core edition, run 'slui.exe 0x2a {number}' to display the "
        text += "error text."
    return f"{before}{number} {text}"


def connection_line(computer: str) -> str:
    """The line for a remote computer that cannot be reached."""
    code = int(Status.E_RPC_SERVER_UNAVAILABLE)
    return f"Error 0x{code:08X} occurred in connecting to server {computer}. {_ERRORS[code]}"
