"""What a status code of activation means and what an administrator does about it.

`Status` holds the activation codes by their symbolic names of the Windows SDK (`slerror.h`), with Windows' text for
each and a cure after Microsoft's "Resolve Windows activation error codes". `explain` also knows the Win32 and RPC codes
of `kmstwist.kms.win32`, bare (`0x6BA`) and as the HRESULT that wraps them (`0x800706BA`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from kmstwist.kms.explained_code import ExplainedCode
from kmstwist.kms.published_codes import others, slerror
from kmstwist.kms.win32 import NcaStatus, Win32Error

_FACILITY_WIN32 = 0x8007_0000
_NAMED_WIN32_HRESULTS = ("E_ACCESSDENIED", "E_INVALIDARG")
_NEW_KEY = "check the key's edition and spelling; ask a Microsoft licensing activation center if it is right"
_ASK_MICROSOFT = "ask a Microsoft licensing activation center for more activations"
_PHONE = "read the installation id again (slmgr /dti), and type the confirmation id again (slmgr /atp)"
_FIND_HOST = (
    "check that the SRV record _vlmcs._tcp exists in the client's DNS domain, or set the host: slmgr /skms HOST"
)
_REINSTALL_LICENCES = "reinstall the licence files: slmgr /rilc, and restart"
_REPORTED = "The Software Protection Service reported that "


class Status(ExplainedCode):
    """Activation status codes, as unsigned 32-bit HRESULTs: `.text` is Windows' own sentence, `.cure` what to do."""

    S_OK = 0, "The operation completed successfully.", "nothing to do"

    # A KMS host's answers, and what a KMS client makes of them.
    SL_E_VL_NOT_WINDOWS_SLP = (
        0xC004F035,
        _REPORTED + "the computer could not be activated with a Volume license product key. Volume-licensed systems "
        "require upgrading from a qualifying operating system.",
        "the machine's firmware shows no qualifying system: use a MAK or a retail key, or activate by telephone",
    )
    SL_E_VL_NOT_ENOUGH_COUNT = (
        0xC004F038,
        _REPORTED + "the product could not be activated. The count reported by your Key Management Service (KMS) is "
        "insufficient.",
        "let more machines ask the same host (25 Windows clients, or 5 Windows Servers or Office); see its count with "
        "slmgr /dli; look for cloned machines that share a CMID",
    )
    SL_E_VL_BINDING_SERVICE_NOT_ENABLED = (
        0xC004F039,
        _REPORTED + "the product could not be activated. The Key Management Service (KMS) is not enabled.",
        "install a KMS host key on the host, and check that TCP 1688 is open between client and host",
    )
    SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED = (
        0xC004F041,
        "The Software Protection Service determined that the Key Management Service (KMS) is not activated. KMS needs "
        "to be activated.",
        "activate the KMS host itself, online (slmgr /ato) or by telephone",
    )
    SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH = (
        0xC004F042,
        "The Software Protection Service determined that the specified Key Management Service (KMS) cannot be used.",
        "the host's key does not cover this product: install the product's host key there, or point the client to the "
        "right host",
    )
    SL_E_VL_MACHINE_NOT_BOUND = (
        0xC004F056,
        _REPORTED + "the product could not be activated using the Key Management Service (KMS).",
        "activate again: slmgr /ato; see event 12288 on the client and 12290 on the host for the first cause",
    )
    SL_E_VL_KEY_MANAGEMENT_SERVICE_VM_NOT_SUPPORTED = (
        0xC004F06B,
        "The Software Protection Service determined that it is running in a virtual machine. The Key Management "
        "Service (KMS) is not supported in this mode.",
        "run the KMS host on a version of Windows that may host KMS in a virtual machine, or on a physical machine",
    )
    SL_E_VL_INVALID_TIMESTAMP = (
        0xC004F06C,
        _REPORTED + "the product could not be activated. The Key Management Service (KMS) determined that the request "
        "timestamp is invalid.",
        "the clocks of client and host are more than 4 hours apart (in UTC): correct them, and look at the time source",
    )
    SL_E_VL_BINDING_SERVICE_UNAVAILABLE = (
        0xC004F074,
        _REPORTED + "the product could not be activated. No Key Management Service (KMS) could be contacted.",
        "look at each event 12288 in the client's Application log for the host it tried and that attempt's own code",
    )

    # Keys.
    SL_E_PKEY_NOT_INSTALLED = (
        0xC004F014,
        _REPORTED + "the product key is not available.",
        "no key is installed: install the product's client setup key, slmgr /ipk KEY",
    )
    SL_E_INVALID_PKEY = 0xC004F010, _REPORTED + "the product key is invalid.", _NEW_KEY
    SL_E_INVALID_PRODUCT_KEY = 0xC004F050, _REPORTED + "the product key is invalid.", _NEW_KEY
    SL_E_BLOCKED_PRODUCT_KEY = (
        0xC004F051,
        _REPORTED + "the product key is blocked.",
        "get a new MAK or KMS host key, install it and activate",
    )
    SL_E_MISMATCHED_PRODUCT_SKU = (
        0xC004F069,
        _REPORTED + "the product SKU is not found.",
        "the key is not one of the installed edition: use that edition's key, or change the edition first; an "
        "evaluation edition takes no client setup key until it is converted: DISM /Online /Set-Edition:EDITION "
        "/ProductKey:KEY /AcceptEula (DISM /Online /Get-TargetEditions names the editions)",
    )
    SL_E_INVALID_PRODUCT_KEY_TYPE = (
        0xC004F07D,
        _REPORTED + "the product key cannot be used for this type of activation.",
        "use a key of the right kind: a client setup key for KMS, a MAK or retail key for online activation",
    )
    SL_E_PRODUCT_KEY_INSTALLATION_NOT_ALLOWED = (
        0xC004F033,
        _REPORTED + "the product key is not allowed to be installed. Please see the eventlog for details.",
        "see the Application event log",
    )
    SL_E_NO_PRODUCT_KEY_FOUND = (
        0xC004F213,
        _REPORTED + "no product key was found on the system.",
        "install a product key, slmgr /ipk KEY; usual after a change of main board",
    )
    SL_E_EDITION_MISMATCHED = (
        0xC004F210,
        _REPORTED + "the license edition does not match the computer edition.",
        "install a key of the edition that runs",
    )

    # Licences on the machine.
    SL_E_GRACE_TIME_EXPIRED = (
        0xC004F009,
        _REPORTED + "the grace period expired.",
        "activate: slmgr /ato; the machine is in notification mode until then",
    )
    SL_I_OOB_GRACE_PERIOD = (
        0x4004F00C,
        _REPORTED + "the application is running within the valid grace period.",
        "activate before it ends; slmgr /xpr says when",
    )
    SL_I_OOT_GRACE_PERIOD = (
        0x4004F00D,
        _REPORTED + "the application is running within the valid out of tolerance grace period.",
        "activate before it ends; the licence expired or the hardware changed",
    )
    SL_E_VL_INFO_PRODUCT_USER_RIGHT = (
        0x4004F040,
        _REPORTED + "the product was activated but the owner should verify the Product Use Rights.",
        "nothing to do: ospp /dstatus prints it, for information only, beside a licence that KMS activated",
    )
    SL_E_OUT_OF_TOLERANCE = (
        0xC004F00F,
        _REPORTED + "the hardware ID binding is beyond the level of tolerance.",
        "the hardware changed: activate again with slmgr /ato, or restart a KMS client",
    )
    SL_E_RIGHT_NOT_GRANTED = (
        0xC004F013,
        "The Software Protection Service determined that there is no permission to run the software.",
        _REINSTALL_LICENCES,
    )
    SL_E_PRODUCT_SKU_NOT_INSTALLED = (
        0xC004F015,
        _REPORTED + "the license is not installed.",
        "on a KMS host: it is too old for the host key or the client; update it and install the right host key. "
        "Elsewhere: slmgr /rilc",
    )
    SL_E_NOT_SUPPORTED = (
        0xC004F016,
        "The Software Protection Service determined that the request is not supported.",
        "check that key, edition and the way of activation belong together",
    )
    SL_E_LICENSE_AUTHORIZATION_FAILED = (
        0xC004F022,
        _REPORTED + "the license authorization failed.",
        _REINSTALL_LICENCES,
    )
    SL_E_LUA_ACCESSDENIED = (
        0xC004F025,
        _REPORTED + "the action requires administrator privilege.",
        "run the command from an elevated prompt",
    )
    SL_E_EUL_NOT_AVAILABLE = (
        0xC004F034,
        _REPORTED + "the license could not be found or was invalid.",
        "check that the key belongs to the edition, then activate again: slmgr /ato",
    )
    SL_E_BASE_SKU_NOT_AVAILABLE = (
        0xC004F055,
        _REPORTED + "the base SKU is not available.",
        "the key is an add-on's: activate the product it belongs to first",
    )
    SL_E_SLP_MISSING_ACPI_SLIC = (
        0xC004F057,
        _REPORTED + "the computer BIOS is missing a required license.",
        "the key is a manufacturer's and this is not its machine: use a volume key",
    )
    SL_E_PKEY_INVALID_UPGRADE = (
        0xC004F061,
        "The Software Protection Service determined that this specified product key can only be used for upgrading, "
        "not for clean installations.",
        "use a key for full installation, or install by upgrading",
    )
    SL_E_NONGENUINE_GRACE_TIME_EXPIRED = (
        0xC004F064,
        _REPORTED + "the non-genuine grace period expired.",
        "install a genuine key and activate; ask a Microsoft licensing activation center",
    )
    SL_I_NONGENUINE_GRACE_PERIOD = (
        0x4004F065,
        _REPORTED + "the application is running within the valid non-genuine grace period.",
        "install a genuine key and activate before the period ends",
    )
    SL_E_DEPENDENT_PROPERTY_NOT_SET = (
        0xC004F066,
        _REPORTED + "the genuine information property can not be set before dependent property been set.",
        _REINSTALL_LICENCES,
    )
    SL_E_NOT_GENUINE = 0xC004F200, _REPORTED + "current state is not genuine.", "install a genuine key and activate"
    SL_E_EVALUATION_FAILED = 0xC004E003, _REPORTED + "license evaluation failed.", _REINSTALL_LICENCES
    SL_E_NOT_ACTIVATED = 0xC004E005, _REPORTED + "the license is not activated.", "activate: slmgr /ato"

    # Telephone activation.
    SL_E_CIDIID_INVALID_DATA = (
        0xC004F02C,
        _REPORTED + "the format for the offline activation data is incorrect.",
        _PHONE,
    )
    SL_E_CIDIID_INVALID_DATA_LENGTH = (
        0xC004F02F,
        _REPORTED + "the length of the offline Confirmation ID (CID) is incorrect.",
        _PHONE,
    )
    SL_E_CIDIID_MISMATCHED = (
        0xC004F031,
        "The Installation ID (IID) and the Confirmation ID (CID) do not match. Please confirm the IID and reacquire a "
        "new CID if necessary.",
        _PHONE,
    )
    SL_E_CIDIID_INVALID_CHECK_DIGITS = (
        0xC004F04D,
        "The Software Protection Service determined that the Installation ID (IID) or the Confirmation ID (CID) is "
        "invalid.",
        _PHONE,
    )

    # Microsoft's activation server: MAK, retail, and the activation of a KMS host.
    SL_E_SRV_CLIENT_CLOCK_OUT_OF_SYNC = (
        0xC004B011,
        "The activation server determined that your computer clock time is not correct. You must correct your clock "
        "before you can activate.",
        "correct the machine's clock",
    )
    SL_E_SRV_GENERAL_ERROR = (
        0xC004B100,
        "The activation server determined that the product could not be activated.",
        "check that the MAK is one Microsoft gave you",
    )
    SL_E_CHPA_PRODUCT_KEY_OUT_OF_RANGE = (
        0xC004C001,
        "The activation server determined the specified product key is invalid.",
        _NEW_KEY,
    )
    SL_E_CHPA_PRODUCT_KEY_BLOCKED = (
        0xC004C003,
        "The activation server determined the specified product key has been blocked.",
        "get a new key from Microsoft; a client setup key cannot be activated online, it needs a KMS host",
    )
    SL_E_CHPA_MAXIMUM_UNLOCK_EXCEEDED = (
        0xC004C008,
        "The activation server reported that the product key has exceeded its unlock limit.",
        "a KMS host key activates up to 10 times on up to 6 machines: " + _ASK_MICROSOFT,
    )
    SL_E_CHPA_DMAK_LIMIT_EXCEEDED = (
        0xC004C020,
        "The activation server reported that the Multiple Activation Key has exceeded its limit.",
        _ASK_MICROSOFT,
    )
    SL_E_CHPA_DMAK_EXTENSION_LIMIT_EXCEEDED = (
        0xC004C021,
        "The activation server reported that the Multiple Activation Key extension limit has been exceeded.",
        _ASK_MICROSOFT,
    )
    SL_E_CHPA_DYNAMICALLY_BLOCKED_PRODUCT_KEY = (
        0xC004C060,
        "The activation server determined the specified product key has been blocked.",
        "get a new key from Microsoft",
    )

    # Other ways to activate.
    SL_E_VL_AD_AO_NOT_FOUND = (
        0xC004F081,
        _REPORTED + "the Active Directory Activation Object could not be found or was invalid.",
        "usual before KMS is tried where Active Directory holds no activation object; else create one",
    )
    SL_E_IA_INVALID_VIRTUALIZATION_PLATFORM = (
        0xC004FD01,
        "Windows isn't running on a supported Microsoft Hyper-V virtualization platform.",
        "a key for automatic virtual machine activation works on Hyper-V only: use a client setup key and KMS",
    )
    SL_E_IA_PARENT_PARTITION_NOT_ACTIVATED = (
        0xC004FD02,
        "Windows isn't activated on the host machine. Please contact your system administrator.",
        "activate the Hyper-V host first",
    )

    # Win32 errors whose published meaning in activation differs from, or adds to, their own. Only two of them have
    # names as HRESULTs; `explain` shows the others as HRESULT_FROM_WIN32(...).
    E_ACCESSDENIED = (
        0x80070005,
        "Access denied. The requested action requires elevated privileges.",
        "run slmgr from an elevated prompt; from a KMS host: its RPC service refused the call",
    )
    E_INVALID_DATA = (
        0x8007000D,
        "The data is invalid.",
        "the host could not use the request: client and host are of different kinds or keys; see what answers there",
    )
    E_INVALIDARG = 0x80070057, "The parameter is incorrect.", "check the command's arguments"
    E_DNS_INVALID_NAME = 0x8007007B, "DNS name does not exist.", _FIND_HOST
    E_KEY_NOT_FOUND = (
        0x80070490,
        "The product key you entered didn't work. Check the product key and try again, or enter a different one.",
        "install the key from an elevated prompt: slmgr /ipk KEY",
    )
    E_RPC_SERVER_UNAVAILABLE = (
        0x800706BA,
        "The RPC server is unavailable.",
        "check that the host is up, that TCP 1688 is open to it, and that no stale SRV record names another",
    )
    E_DNS_SERVER_FAILURE = 0x8007232A, "DNS server failure.", "repair the network or the DNS server"
    E_DNS_NAME_ERROR = 0x8007232B, "DNS name does not exist.", _FIND_HOST
    E_DNS_NO_RECORDS = 0x8007251D, "No records found for DNS query.", _FIND_HOST
    E_DNS_NO_SERVERS = (
        0x8007267C,
        "No DNS servers configured for local system.",
        "give the machine a DNS server, or set the host by address: slmgr /skms ADDRESS",
    )


# Published with a meaning but without a symbolic name.
_UNNAMED: dict[int, tuple[str, str]] = {
    0x8004FE21: ("This computer is not running genuine Windows.", "reinstall the operating system"),
    0x803F7001: (
        "Activation failed because this device doesn't have a valid digital license or product key.",
        "install a product key: slmgr /ipk KEY",
    ),
    0xC004F065: (
        _REPORTED + "the application is running within the valid non-genuine period.",
        "install a genuine key and activate before the period ends",
    ),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code, its symbolic name ("" if none is published), its text, and what to do about it."""

    code: int
    symbol: str
    text: str
    cure: str

    @property
    def hexadecimal(self) -> str:
        """The code as Windows writes it, such as 0xC004F074."""
        return f"0x{self.code:08X}"


@cache
def _by_symbol() -> dict[str, int]:
    codes = {symbol: code for table in (others(), slerror()) for code, (symbol, _, _) in table.items() if symbol}
    return codes | {
        name: int(each) for table in (Win32Error, NcaStatus, Status) for name, each in table.__members__.items()
    }


# What surrounds a code in the places that people copy it from.
_AROUND = " \t\r\n.,;:()[]\"'"
#: Letters that are typed in place of digits.
_LETTERS_FOR_ZERO = str.maketrans("Oo", "00")


def explain(code: int) -> Explanation | None:
    """The explanation of an HRESULT, Win32 error or RPC fault status (signed or unsigned), or None if unknown."""
    code &= 0xFFFF_FFFF
    for table in (Status, NcaStatus, Win32Error):
        try:
            known = table(code)
        except ValueError:
            continue
        return Explanation(code, _symbol(code, known.name), known.text, known.cure)
    if code in _UNNAMED:
        return Explanation(code, "", *_UNNAMED[code])
    for published in (others(), slerror()):
        if code in published:
            return Explanation(code, *published[code])
    if code < 0x1_0000 and (wrapped := others().get(_FACILITY_WIN32 | code)) is not None:
        symbol, text, cure = wrapped
        return Explanation(code, symbol.removeprefix("HRESULT_FROM_WIN32(").removesuffix(")"), text, cure)
    if _wraps_win32(code) and (bare := explain(code & 0xFFFF)) is not None:
        return Explanation(code, _symbol(code, bare.symbol), bare.text, bare.cure)
    return None


def _wraps_win32(code: int) -> bool:
    return code & 0xFFFF_0000 == _FACILITY_WIN32


def _symbol(code: int, name: str) -> str:
    if _wraps_win32(code) and name not in _NAMED_WIN32_HRESULTS:
        return f"HRESULT_FROM_WIN32({Win32Error(code & 0xFFFF).name})"
    return name


def known_codes() -> list[Explanation]:
    """Every code of the table, in numerical order."""
    codes = {*_usual(), *others(), *slerror()}
    return [explanation for code in sorted(codes) if (explanation := explain(code)) is not None]


def _usual() -> list[int]:
    """The common codes, those of a KMS host first."""
    return list(dict.fromkeys((*map(int, Status), *map(int, NcaStatus), *map(int, Win32Error), *_UNNAMED)))


def near_codes(code: int, most: int = 3) -> list[Explanation]:
    """The common codes of which `code` may be a misspelling: two digits are exchanged, one is missing, one is wrong, or
    a decimal number has the prefix of a hexadecimal one.

    Only common codes are suggested: there are so many others that one of them is always near.
    """
    written = f"{code & 0xFFFF_FFFF:08X}"
    slips = [known for known in _usual() if known > 0xFFFF and _is_slip(written, f"{known:08X}")]
    slips.sort(key=lambda known: sorted(written) != sorted(f"{known:08X}"))
    if code < 0x1_0000 and f"{code:X}".isdigit():
        # 0x1722: a decimal number that was given the prefix of a hexadecimal one.
        slips.insert(0, int(f"{code:X}"))
    near = [explanation for known in slips if (explanation := explain(known)) is not None]
    return near[:most]


def _is_slip(written: str, meant: str) -> bool:
    differing = [place for place in range(8) if written[place] != meant[place]]
    if len(differing) == 2:
        first, second = differing
        return second == first + 1 and written[first] == meant[second] and written[second] == meant[first]
    # A digit is missing: the rest then begins with a zero, because numbers have no length.
    lost = written[0] == "0" and any(meant[:place] + meant[place + 1 :] == written[1:] for place in range(8))
    return lost or len(differing) == 1


def codes_in(text: str) -> list[int]:
    """The codes in a line as slmgr, ospp or an event prints it, in their order, each once.

    A code is a hexadecimal number with its prefix, eight hexadecimal digits that begin as a failure's or an
    information's do (8, C, D or 4), a negative number of ten digits, the same failure as a positive number, or a symbol
    of the tables. The 0x2a of `slui.exe 0x2a CODE` is the command to show a code, and not a code.
    """
    found = re.findall(
        r"\b0[xX][0-9A-Fa-f]{1,8}\b|\b[48CcDd][0-9A-Fa-f]{7}\b|(?<![\w.])-\d{8,10}\b|\b(?:214|322|348|349)\d{7}\b"
        r"|\b[A-Z]{2,}(?:_[A-Z0-9]+)+\b",
        re.sub(r"(?i)\bslui(\.exe)?\s+0x2a\b", "", text),
    )
    codes = (parse_code(each) for each in found if not re.match(r"[A-Z]{2,}_", each) or each in _by_symbol())
    return list(dict.fromkeys(codes))


def parse_code(text: str) -> int:
    """The code in a text that somebody pasted, as an unsigned 32-bit number. Raises `ValueError` with a sentence.

    `0xC004F074`, and without the prefix anything with a letter in it or with exactly 8 digits (`80070005`), is
    hexadecimal; other numbers (`1722`, `-1073418124`, `3221549172`) are decimal, negative ones as signed 32 bits. A
    code's symbol is understood too, in any case.
    """
    plain = text.strip(_AROUND)
    if (named := _by_symbol().get(plain.upper())) is not None:
        return named
    # Word processors make the true minus sign of a hyphen.
    compact = plain.removesuffix("L").replace("_", "").replace("\N{MINUS SIGN}", "-")
    if re.fullmatch(r"0[xX][0-9A-Fa-f]+", compact):
        code = int(compact, 16)
    elif re.fullmatch(r"-?[0-9]+", compact) and len(compact) != 8:
        code = int(compact)
    elif re.fullmatch(r"[0-9A-Fa-f]+", compact):
        code = int(compact, 16)
    elif re.fullmatch(r"-[0-9]+", compact):
        code = int(compact)
    elif (right := compact.translate(_LETTERS_FOR_ZERO)) != compact and re.fullmatch(r"(0[xX])?[0-9A-Fa-f]{8}", right):
        code = int(right, 16)
    elif len(among := codes_in(text)) == 1:
        code = among[0]
    else:
        raise ValueError(f'"{text}" is not a status code; give it as 0xC004F074, C004F074, 1722 or -1073418124')
    if not -0x8000_0000 <= code <= 0xFFFF_FFFF:
        raise ValueError(f'"{text}" does not fit in 32 bits, as every status code does')
    return code & 0xFFFF_FFFF
