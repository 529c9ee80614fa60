"""ospp's options, `/name` or `/name:VALUE`, and reading a command line of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.words import computer_in, is_option, unrecognized


@dataclass(frozen=True, slots=True)
class Option:
    """An option; `value` names what stands behind the colon ("" for nothing), in brackets where it may be left out."""

    name: str
    value: str
    does: str

    @property
    def usage(self) -> str:
        """The option as it is typed."""
        if self.value.startswith("["):
            return f"/{self.name}[:{self.value[1:]}"
        return f"/{self.name}:{self.value}" if self.value else f"/{self.name}"


OPTIONS = {
    option.name: option
    for option in (
        Option("act", "", "activate the installed Office keys"),
        Option("inpkey", "KEY", "install a product key; it replaces one already there"),
        Option("unpkey", "LAST5", "uninstall the product key that ends so"),
        Option("inslic", "FILE", "install a licence file"),
        Option("dstatus", "", "show the licences of installed keys"),
        Option("dstatusall", "", "show all installed licences"),
        Option("dhistoryacterr", "", "show failures of MAK and retail activation"),
        Option("dinstid", "", "show the installation id for activation by telephone"),
        Option("actcid", "CONFIRMATION", "activate with a confirmation id"),
        Option("rearm", "[SKUID]", "reset the status of all keys, or of one"),
        Option("ddescr", "CODE", "describe an error code"),
        Option("dhistorykms", "", "show the history of KMS activation"),
        Option("dcmid", "", "show the client machine id"),
        Option("sethst", "NAME", "set the KMS host; discovery is off then"),
        Option("setprt", "PORT", "set the KMS host's port"),
        Option("remhst", "", "forget the KMS host and port"),
        Option("cachst", "TRUE|FALSE", "keep using the KMS host that worked, or not"),
        Option("actype", "1|2|0", "limit activation: 1 Active Directory, 2 KMS, 0 both"),
        Option("skms-domain", "FQDN", "discover in this DNS domain only"),
        Option("ckms-domain", "", "discover in the usual domains again"),
    )
}


def elsewhere(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The computer to act on, if another is named after the option, and the line without it."""
    if len(words) < 2 or is_option(words[1]):
        return None, words
    return computer_in(words[1:], "ospp /OPTION[:VALUE] [COMPUTER [USER PASSWORD]]"), words[:1]


def read(words: Sequence[str]) -> tuple[Option, str]:
    """The option and its value; raises `Refused` for what ospp would not take."""
    if not words:
        raise Refused(f"ospp needs an option.\n{usage()}")
    if len(words) > 1:
        raise Refused(f"ospp takes one option at a time, and nothing after it: {words[1]!r} is too much.")
    name, colon, value = words[0][1:].partition(":")
    name = name.lower()
    option = OPTIONS.get(name) if is_option(words[0]) else None
    if option is None:
        raise unrecognized(words[0], OPTIONS, usage())
    if not option.value and colon:
        raise Refused(f"/{name} takes no value: ospp {option.usage}")
    if option.value and not option.value.startswith("[") and not value:
        raise Refused(f"/{name} needs a value: ospp {option.usage}")
    return option, value


def usage() -> str:
    """All options, one a line."""
    width = max(len(option.usage) for option in OPTIONS.values())
    return "\n".join(f"  {option.usage:<{width}}  {option.does}" for option in OPTIONS.values())
