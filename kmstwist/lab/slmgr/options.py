"""slmgr's options as its usage prints them, each with its arguments, and the reading of its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmstwist.lab.machines.commandline import is_option, meant
from kmstwist.lab.machines.session import Misused, Output

FAILED = 1
"""The exit status of slmgr after it has printed its usage."""
_MOST_BEFORE = 3
"""Words that may come before the option: a computer, a user and a password."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its arguments as the usage writes them (optional ones in square brackets), and what it does.

    `host_only` means that it acts on a KMS host.
    """

    name: str
    arguments: tuple[str, ...]
    does: str
    host_only: bool = False

    @property
    def usage(self) -> str:
        """The option as it is typed."""
        return " ".join(["/" + self.name, *self.arguments])

    @property
    def required(self) -> int:
        """How many arguments must be given."""
        return sum(not argument.startswith("[") for argument in self.arguments)


_KEY, _ID = "<Product Key>", "[Activation ID]"
_WHICH = "[Activation ID | All]"
_LIMITS = "must be between 15 minutes (min) and 30 days (max) although the default"
_SRV = "the specific DNS domain in which all KMS SRV records can be found."
_Group = tuple[str, tuple[Option, ...]]
_GROUPS: tuple[_Group, ...] = (
    (
        "Global Options:",
        (
            Option("ipk", (_KEY,), "Install product key (replaces existing key)"),
            Option("ato", (_ID,), "Activate Windows"),
            Option("dli", (_WHICH,), "Display license information (default: current license)"),
            Option("dlv", (_WHICH,), "Display detailed license information (default: current license)"),
            Option("xpr", (_ID,), "Expiration date for current license state"),
        ),
    ),
    (
        "Advanced Options:",
        (
            Option("cpky", (), "Clear product key from the registry (prevents disclosure attacks)"),
            Option("ilc", ("<License file>",), "Install license"),
            Option("rilc", (), "Re-install system license files"),
            Option("rearm", (), "Reset the licensing status of the machine"),
            Option("rearm-app", ("<Application ID>",), "Reset the licensing status of the given app"),
            Option("rearm-sku", ("<Activation ID>",), "Reset the licensing status of the given sku"),
            Option("upk", (_ID,), "Uninstall product key"),
        ),
    ),
    (
        "",
        (
            Option("dti", (_ID,), "Display Installation ID for offline activation"),
            Option("atp", ("<Confirmation ID>", _ID), "Activate product with user-provided Confirmation ID"),
        ),
    ),
    (
        "Volume Licensing: Key Management Service (KMS) Client Options:",
        (
            Option(
                "skms",
                ("<Name[:Port] | : port>", _ID),
                "Set the name and/or the port for the KMS computer this machine will use. IPv6 address must be "
                "specified in the format [hostname]:port",
            ),
            Option("ckms", (_ID,), "Clear name of KMS computer used (sets the port to the default)"),
            Option(
                "skms-domain",
                ("<FQDN>", _ID),
                f"Set {_SRV} This setting has no effect if the specific single KMS host is set via /skms option.",
            ),
            Option(
                "ckms-domain",
                (_ID,),
                f"Clear {_SRV} The specific KMS host will be used if set via /skms. Otherwise default KMS "
                "auto-discovery will be used.",
            ),
            Option("skhc", (), "Enable KMS host caching"),
            Option("ckhc", (), "Disable KMS host caching"),
        ),
    ),
    (
        "Volume Licensing: Token-based Activation Options:",
        (
            Option("lil", (), "List installed Token-based Activation Issuance Licenses"),
            Option("ril", ("<ILID>", "<ILvID>"), "Remove installed Token-based Activation Issuance License"),
            Option("ltc", (), "List Token-based Activation Certificates"),
            Option("fta", ("<Certificate Thumbprint>", "[<PIN>]"), "Force Token-based Activation"),
        ),
    ),
    (
        "Volume Licensing: Key Management Service (KMS) Options:",
        (
            Option("sprt", ("<Port>",), "Set TCP port KMS will use to communicate with clients", host_only=True),
            Option(
                "sai",
                ("<Activation Interval>",),
                "Set interval (minutes) for unactivated clients to attempt KMS connection. The activation interval "
                f"{_LIMITS} (2 hours) is recommended.",
                host_only=True,
            ),
            Option(
                "sri",
                ("<Renewal Interval>",),
                "Set renewal interval (minutes) for activated clients to attempt KMS connection. The renewal interval "
                f"{_LIMITS} (7 days) is recommended.",
                host_only=True,
            ),
            Option("sdns", (), "Enable DNS publishing by KMS (default)", host_only=True),
            Option("cdns", (), "Disable DNS publishing by KMS", host_only=True),
            Option("spri", (), "Set KMS priority to normal (default)", host_only=True),
            Option("cpri", (), "Set KMS priority to low", host_only=True),
            Option(
                "act-type",
                ("[Activation-Type]", _ID),
                "Set activation type to 1 (for AD) or 2 (for KMS) or 3 (for Token) or 0 (for all).",
            ),
        ),
    ),
    (
        "Volume Licensing: Active Directory (AD) Activation Options:",
        (
            Option(
                "ad-activation-online",
                (_KEY, "[Activation Object name]"),
                "Activate AD (Active Directory) forest with user-provided product key",
            ),
            Option("ad-activation-get-iid", (_KEY,), "Display Installation ID for AD (Active Directory) forest"),
            Option(
                "ad-activation-apply-cid",
                (_KEY, "<Confirmation ID>", "[Activation Object name]"),
                "Activate AD (Active Directory) forest with user-provided product key and Confirmation ID",
            ),
            Option("ao-list", (), "Display Activation Objects in AD (Active Directory)"),
            Option(
                "del-ao",
                ("<Activation Object DN | Activation Object RDN>",),
                "Delete Activation Objects in AD (Active Directory) for user-provided Activation Object",
            ),
        ),
    ),
)
OPTIONS = {option.name: option for _, options in _GROUPS for option in options}
_USAGE = (
    "Windows Software Licensing Management Tool",
    "Usage: slmgr.vbs [MachineName [User Password]] [<Option>]",
    "           MachineName: Name of remote machine (default is local machine)",
    "           User:        Account with required privilege on remote machine",
    "           Password:    password for the previous account",
    "",
)


def usage() -> list[str]:
    """The lines of slmgr's usage: all options in their groups."""
    lines = list(_USAGE)
    for number, (title, options) in enumerate(_GROUPS):
        if number:
            lines.append("")
        if title:
            lines.append(title)
        for option in options:
            lines += [f"/{option.name} {' '.join(option.arguments)}", f"    {option.does}"]
    return lines


def elsewhere(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The computer to act on, if another one is named before the option, and the rest of the line from the option on.

    Raises `Misused` if there is no option, or a user without a password.
    """
    first = next((at for at, word in enumerate(words[: _MOST_BEFORE + 1]) if is_option(word)), None)
    if first is None or first == 2:
        why = "a user needs a password" if first else "an option begins with a slash or a hyphen: /dli"
        raise Misused(Output(["Invalid combination of command parameters.", "", *usage()], [why], FAILED))
    return (words[0] if first else None), words[first:]


def read(words: Sequence[str]) -> tuple[Option, list[str], list[str]]:
    """The option, its arguments, and notes on words that slmgr ignores. Raises `Misused` for other words."""
    name = words[0][1:].lower() if words and is_option(words[0]) else ""
    option = OPTIONS.get(name)
    if option is None:
        word = words[0] if words else ""
        raise Misused(Output([f"Unrecognized option: {word}", "", *usage()], meant(word, OPTIONS), FAILED))
    arguments = list(words[1:])
    if len(arguments) < option.required:
        # For these two options the script names all arguments at once.
        together = option.name in ("ril", "fta")
        missing = " ".join(option.arguments) if together else option.arguments[len(arguments)]
        raise Misused(Output(["", f"Error: option {option.name} needs {missing}", *usage()], [], FAILED))
    spare = arguments[len(option.arguments) :]
    notes = [f"slmgr ignores what comes after /{option.name}'s arguments: {' '.join(spare)}"] if spare else []
    return option, arguments[: len(option.arguments)], notes
