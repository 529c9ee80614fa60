"""The options of slmgr.vbs and ospp.vbs that set a client up, as Microsoft documents them; reading command lines.

Sources: "Slmgr.vbs options for obtaining volume activation information" and "Tools to manage volume activation of
Office". slmgr takes an option and its values as arguments of their own; ospp takes the value after a colon.
"""

from __future__ import annotations

import re

_KEY = r"[A-Z0-9]{5}(-[A-Z0-9]{5}){4}"
_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
_PORT = r"[1-9][0-9]{0,4}"
_IPV6 = r"\[[0-9a-f:.]+\]"

# The regular expressions of each argument after the option.
SLMGR: dict[str, tuple[str, ...]] = {
    "/ipk": (_KEY,),
    "/ato": (),
    "/dli": (),
    "/dlv": (),
    "/xpr": (),
    "/skms": (rf"(?:(?:{_NAME}|{_IPV6})(?::{_PORT})?|:{_PORT})",),
    "/skms-domain": (_NAME,),
    "/ckms": (),
    # The table of Microsoft's page leaves it out; the tool has it.
    "/ckms-domain": (),
    "/skhc": (),
    "/ckhc": (),
}

# The regular expression of the value after the colon; None where the option has none.
OSPP: dict[str, str | None] = {
    "/act": None,
    "/inpkey": _KEY,
    "/dstatus": None,
    "/dstatusall": None,
    "/sethst": _NAME,
    "/setprt": _PORT,
    "/remhst": None,
    "/cachst": "TRUE|FALSE",
    "/skms-domain": _NAME,
    "/ckms-domain": None,
}


def is_slmgr(arguments: list[str]) -> bool:
    """Whether these arguments are one documented call of slmgr."""
    option, *values = arguments
    expected = SLMGR.get(option)
    return (
        expected is not None
        and len(values) == len(expected)
        and all(re.fullmatch(pattern, value) for pattern, value in zip(expected, values, strict=True))
    )


def is_ospp(arguments: list[str]) -> bool:
    """Whether these arguments are one documented call of ospp."""
    if len(arguments) != 1:
        return False
    option, colon, value = arguments[0].partition(":")
    if option not in OSPP:
        return False
    pattern = OSPP[option]
    return not colon if pattern is None else bool(colon and re.fullmatch(pattern, value))


def split_cmd(line: str) -> list[str]:
    """Arguments as cmd.exe and the C run time split them, for lines without escapes."""
    return [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|([^\s"]+)', line)]


def split_powershell(line: str) -> list[str]:
    """Arguments as PowerShell splits them, for lines without backticks and without expressions."""
    found = re.findall(r"""'((?:[^']|'')*)'|"([^"]*)"|([^\s'"]+)""", line)
    return [single.replace("''", "'") or double or bare for single, double, bare in found]
