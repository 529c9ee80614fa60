"""ospp's options, `/name` or `/name:VALUE`, and the reading of its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmstwist.lab.machines.commandline import is_option, meant
from kmstwist.lab.machines.session import Misused, Output
from kmstwist.lab.ospp.texts import BEGIN, END, UNSUPPORTED


@dataclass(frozen=True, slots=True)
class Option:
    """An option; `value` names what comes after the colon ("" for nothing), in brackets if it is optional."""

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
        Option("actype", "0|1|2|3", "limit activation: 1 Active Directory, 2 KMS, 3 token, 0 any"),
        Option("skms-domain", "FQDN", "discover in this DNS domain only"),
        Option("ckms-domain", "", "discover in the usual domains again"),
        Option("dtokils", "", "show token licences"),
        Option("rtokil", "ILID", "uninstall a token licence"),
        Option("stokflag", "", "token activation only (Windows 7)"),
        Option("ctokflag", "", "KMS activation again (Windows 7)"),
        Option("dtokcerts", "", "show token certificates"),
        Option("tokact", "THUMBPRINT[:PIN]", "activate with a token"),
        Option("puserops", "", "let users activate"),
        Option("duserops", "", "let administrators alone activate"),
        Option("osppsvcrestart", "", "restart Office's licensing service (Windows 7)"),
        Option("osppsvcauto", "", "start Office's licensing service with Windows (Windows 7)"),
        Option("regmof", "", "register Office's WMI classes (Windows 7)"),
        Option("version", "", "show the script's version"),
        Option("help", "", "show the help"),
    )
}
_HELP = ("help", "?")


def elsewhere(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The computer to act on, if another one is named after the option, and the line without it.

    Raises `Misused` for a user without a password: ospp takes that for a user without permission.
    """
    if len(words) < 2 or is_option(words[1]):
        return None, words
    if len(words) == 3:
        raise Misused(_unsupported("a user needs a password: ospp /OPTION[:VALUE] [COMPUTER [USER PASSWORD]]"))
    return words[1], words[:1]


def read(words: Sequence[str]) -> tuple[Option, str]:
    """The option and its value. Raises `Misused`, with what ospp prints, for a line that ospp does not accept.

    For some lines ospp shows a message box and prints nothing; a note takes the box's place here.
    """
    if not words:
        # ospp opens its help and ends at once.
        raise Misused(Output([], usage()))
    word = words[0]
    name, colon, value = word[1:].partition(":")
    name = name.lower()
    if (word.startswith("/") and name in _HELP) or word.lower() in _HELP:
        raise Misused(Output([*BEGIN, *END], usage()))
    option = OPTIONS.get(name) if word.startswith("/") else None
    if option is None:
        raise Misused(_unsupported(*(meant(word, OPTIONS) or usage())))
    if not option.value and colon:
        raise Misused(_unsupported(f"/{name} takes no value: ospp {option.usage}"))
    if option.value and not option.value.startswith("[") and not value:
        why = f" A value is required for: {word.lower()}" if colon else ""
        raise Misused(_unsupported(f"/{name} needs a value: ospp {option.usage}", why=why))
    return option, value.strip('"')


def _unsupported(*notes: str, why: str = "") -> Output:
    return Output([*BEGIN, *END], [f"{UNSUPPORTED}{why}", *notes])


def usage() -> list[str]:
    """All options, one on each line."""
    width = max(len(option.usage) for option in OPTIONS.values())
    return [f"  {option.usage:<{width}}  {option.does}" for option in OPTIONS.values()]
