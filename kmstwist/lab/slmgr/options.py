"""slmgr's options, each with its arguments, and reading a command line of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.words import computer_in, is_option, unrecognized


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its arguments (in brackets those that may be left out), what it does, and whether a KMS host's."""

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


OPTIONS = {
    option.name: option
    for option in (
        Option("ipk", ("KEY",), "install a product key; it replaces one already there"),
        Option("ato", ("[ActID]",), "try to activate now"),
        Option("dli", ("[ActID|All]",), "show licence information"),
        Option("dlv", ("[ActID|All]",), "show licence information in detail"),
        Option("xpr", ("[ActID]",), "show when the current licence state expires"),
        Option("cpky", (), "remove the product key from the registry"),
        Option("ilc", ("FILE",), "install a licence file"),
        Option("rilc", (), "reinstall all licence files"),
        Option("rearm", (), "reset the activation timers"),
        Option("rearm-app", ("AppID",), "reset the activation timers of one application"),
        Option("rearm-sku", ("ActID",), "reset the activation timers of one product"),
        Option("upk", ("[ActID]",), "uninstall the product key"),
        Option("dti", ("[ActID]",), "show the installation id for activation by telephone"),
        Option("atp", ("CONFIRMATION", "[ActID]"), "activate with a confirmation id"),
        Option("skms", ("NAME[:PORT]|:PORT", "[ActID]"), "set the KMS host; discovery is off then"),
        Option("skms-domain", ("FQDN", "[ActID]"), "discover in this DNS domain only"),
        Option("ckms", ("[ActID]",), "forget the KMS host and port"),
        Option("ckms-domain", ("[ActID]",), "discover in the usual domains again"),
        Option("skhc", (), "keep using the KMS host that worked (the default)"),
        Option("ckhc", (), "ask DNS for a KMS host each time"),
        Option("sai", ("MINUTES",), "set the retry interval of clients that are not activated", host_only=True),
        Option("sri", ("MINUTES",), "set the renewal interval", host_only=True),
        Option("sprt", ("PORT",), "set the host's TCP port", host_only=True),
        Option("sdns", (), "publish the host's SRV record", host_only=True),
        Option("cdns", (), "stop publishing the host's SRV record", host_only=True),
        Option("spri", (), "set the host's priority to normal", host_only=True),
        Option("cpri", (), "set the host's priority to low", host_only=True),
        Option("act-type", ("[TYPE]", "[ActID]"), "limit activation: 1 Active Directory, 2 KMS, 3 token, 0 any"),
    )
}


def elsewhere(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The computer to act on, if another is named before the option, and the line from the option on."""
    first = next((at for at, word in enumerate(words) if is_option(word)), 0)
    return computer_in(words[:first], "slmgr [COMPUTER [USER PASSWORD]] /OPTION"), words[first:]


def read(words: Sequence[str]) -> tuple[Option, list[str]]:
    """The option and its arguments; raises `Refused` for what slmgr would not take."""
    if not words:
        raise Refused(f"slmgr needs an option.\n{usage()}")
    option = OPTIONS.get(words[0][1:].lower()) if is_option(words[0]) else None
    if option is None:
        raise unrecognized(words[0], OPTIONS, usage())
    arguments = list(words[1:])
    if any(argument[:1] == "/" and argument[1:].lower() in OPTIONS for argument in arguments):
        raise Refused("slmgr takes one option at a time.")
    if len(arguments) < option.required:
        raise Refused(f"{words[0]} needs more: slmgr {option.usage}")
    if len(arguments) > len(option.arguments):
        raise Refused(f"{words[0]} takes no {arguments[len(option.arguments)]!r}: slmgr {option.usage}")
    return option, arguments


def usage() -> str:
    """All options, one a line."""
    width = max(len(option.usage) for option in OPTIONS.values())
    return "\n".join(f"  {option.usage:<{width}}  {option.does}" for option in OPTIONS.values())
