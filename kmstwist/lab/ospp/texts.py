"""ospp's own words: for status codes those of Office's error file, which names the service as it was called first."""

from __future__ import annotations

from kmstwist.kms.status import Status, explain

RULE = "-" * 39
BEGIN = ("---Processing--------------------------", RULE)
END = (RULE, "---Exiting-----------------------------")
SCRIPT = "OSPP.VBS"
APPLIED = "Successfully applied setting."
NO_KEYS = "<No installed product keys detected>"
NO_LICENCES = "<No licenses found>"
UNSUPPORTED = "Unsupported command passed."
ONLY_WINDOWS_7 = "The following command is supported on Windows 7 only:"

_DESCRIBED = {
    0x80070005: "Access denied: the requested action requires elevated privileges.",
    0xC004F038: "The Software Licensing Service reported that the product could not be activated. The count reported "
    "by your Key Management Service (KMS) is insufficient. Please contact your system administrator.",
    0xC004F074: "The Software Licensing Service reported that the product could not be activated. No Key Management "
    "Service (KMS) could be contacted. Please see the Application Event Log for additional information.",
    0xC004F304: "The Software Licensing Service reported that required license could not be found.",
}
#: The codes for which the script knows of an article.
_WITH_ARTICLE = frozenset(
    (
        0x80070422,
        0x80070426,
        0xC004F074,
        0x80070001,
        0x80070005,
        0x8007000D,
        0x8007232B,
        0x8007251D,
        0xC004F014,
        0xC004F038,
        0xC004F039,
        0xC004F041,
        0xC004F042,
        0xC004C003,
        0x4004F040,
    )
)


def description(code: int) -> str:
    """What stands behind `ERROR DESCRIPTION: `: Office's text for a licensing code, else where to look the code up."""
    if code in _DESCRIBED:
        return _DESCRIBED[code]
    known = explain(code)
    # Office's file holds the licensing service's codes; those of DNS and RPC are looked up in Windows.
    if known is None or not known.symbol.startswith("SL_"):
        return f"Run the following: cscript ospp.vbs /ddescr:0x{code:08X}"
    return known.text.replace("Software Protection Service", "Software Licensing Service")


def error_lines(code: int) -> list[str]:
    """The lines for a failure."""
    lines = [f"ERROR CODE: 0x{code:08X}", f"ERROR DESCRIPTION: {description(code)}"]
    if code == Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE:
        lines.append(f"To view the activation event history run: cscript {SCRIPT} /dhistorykms")
    return lines


def article_lines(code: int) -> list[str]:
    """The notice of an article for a code, if there is one."""
    if code not in _WITH_ARTICLE:
        return []
    return [
        f"NOTICE: A KB article has been detected for activation failure: 0x{code:08X}",
        f"FOR MORE INFORMATION PLEASE VISIT: http://support.microsoft.com/kb/2870357#Error0x{code:08X}",
    ]
