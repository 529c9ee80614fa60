"""The results of asking DNS: SRV records, addresses, a zone, or the reason for a failure.

An administrator needs to know which kind of failure it was: that a name does not exist is an answer, that the server
failed or did not answer is not. `LookupFailed` distinguishes them and explains each in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.dns_names import MAX_LENGTH
from kmstwist.discovery.lookup.srv import SrvRecord

MAX_ALIASES = 8
"""The most CNAMEs followed for one name; a longer chain is considered a loop."""

MAX_LABEL = 63
"""Characters between two dots of a name (RFC 1035 2.3.4)."""


class LookupProblem(StrEnum):
    """Why a lookup brought no record."""

    NO_SUCH_NAME = "nxdomain"
    NO_RECORDS = "no-records"
    SERVER_FAILURE = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    UNREACHABLE = "unreachable"
    NO_ROUTE = "no-route"
    BAD_ANSWER = "bad-answer"
    ALIAS = "alias"
    ALIAS_LOOP = "alias-loop"
    BAD_NAME = "bad-name"
    NO_SERVER = "no-server"


_SAYS_NO = {LookupProblem.NO_SUCH_NAME, LookupProblem.NO_RECORDS, LookupProblem.ALIAS_LOOP, LookupProblem.BAD_NAME}

_SAID = {
    LookupProblem.NO_SUCH_NAME: "{name} does not exist, says the DNS server {server}",
    LookupProblem.NO_RECORDS: "{name} exists, but has no {type} record, says the DNS server {server}",
    LookupProblem.SERVER_FAILURE: "The DNS server {server} failed to look up {name} (SERVFAIL)",
    LookupProblem.REFUSED: "The DNS server {server} refuses to look up {name} for this machine (REFUSED)",
    LookupProblem.TIMEOUT: "The DNS server {server} gave no answer about {name} within {seconds:g} seconds",
    LookupProblem.CLOSED: "Nothing answers at {server}, which was asked about {name}: it may not be a DNS server",
    LookupProblem.UNREACHABLE: "The DNS server {server} accepts no TCP connection, needed for the long answer on "
    "{name}",
    LookupProblem.NO_ROUTE: "This machine has no route to the DNS server {server}",
    LookupProblem.BAD_ANSWER: "The DNS server {server} gave an answer about {name} that cannot be used",
    LookupProblem.ALIAS_LOOP: "The aliases (CNAME) of {name} lead in a circle or are more than "
    f"{MAX_ALIASES}, says the DNS server {{server}}",
    LookupProblem.BAD_NAME: f"{{name}} cannot be looked up: DNS allows {MAX_LENGTH} characters, and {MAX_LABEL} "
    "between two dots",
}


class LookupFailed(Exception):
    """A lookup found no record; the text is a sentence, `said` the same without its full stop, `problem` the kind.

    `server` is the server that said so or did not answer; None if there is no server to ask.
    """

    said: str
    server: HostPort | None

    def __init__(self, problem: LookupProblem, name: str, record_type: str, server: HostPort, seconds: float) -> None:
        said = _SAID[problem].format(name=name, type=record_type, server=server, seconds=seconds)
        super().__init__(f"{said}.")
        self.said = said
        self.problem = problem
        self.name = name
        self.server = server

    @property
    def says_no(self) -> bool:
        """Whether DNS answered that there is nothing, rather than not answering."""
        return self.problem in _SAYS_NO


class IsAlias(LookupFailed):
    """The name is an alias (CNAME), which is not allowed here; `leads_to` is the name it stands for."""

    def __init__(self, name: str, leads_to: str, server: HostPort) -> None:
        self.said = f"{name} is an alias (CNAME) of {leads_to}, says the DNS server {server}"
        Exception.__init__(self, f"{self.said}.")
        self.problem = LookupProblem.ALIAS
        self.name = name
        self.server = server
        self.leads_to = leads_to


@dataclass(frozen=True, slots=True)
class SrvAnswer:
    """The SRV records of one name, in the answer's order; `owner` differs from `name` where CNAMEs led elsewhere.

    `written` is the owner in the zone's own upper and lower case, as far as the server shows it.
    """

    name: str
    owner: str
    records: tuple[SrvRecord, ...]
    server: HostPort
    written: str = ""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """The addresses of one host, IPv6 and IPv4, each kind in the answer's order; `ttl` the lowest, in seconds.

    `aliases` are the names the CNAMEs led to, in order, the last being the one that has the addresses. RFC 2782 forbids
    an SRV target that is an alias; Windows resolves it nonetheless.
    """

    name: str
    aliases: tuple[str, ...]
    ipv6: tuple[str, ...]
    ipv4: tuple[str, ...]
    ttl: int

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, IPv6 first, as Windows prefers them (RFC 6724)."""
        return self.ipv6 + self.ipv4


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone a name lives in, and its primary server's name, out of the SOA record."""

    name: str
    primary: str
