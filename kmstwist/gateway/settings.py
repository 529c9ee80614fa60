"""The `[gateway]` section of the configuration.

Durations are in seconds. The options' descriptions also appear in `etc/kmstwist/kmstwist.toml` and the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kmstwist.addresses import HostPort, is_address, parse_host_port
from kmstwist.discovery.settings import Domain
from kmstwist.problem import WrongValue
from kmstwist.sections import Contradictions, Fault, Section


def host_key(where: HostPort) -> HostPort:
    """An address in the form for comparisons: DNS ignores case and a final dot."""
    host = str(ip_address(where.host)) if is_address(where.host) else where.host.lower().rstrip(".")
    return HostPort(host, where.port)


def _address(text: str) -> str:
    return str(parse_host_port(text))


def _label(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise WrongValue(f"{text!r} is not a name for logs and commands", "leave out line ends and spaces around it")
    return text


Address = Annotated[str, AfterValidator(_address)]
Label = Annotated[str, Field(max_length=255), AfterValidator(_label)]
Word16 = Annotated[int, Field(ge=0, le=65535)]


class UpstreamSettings(Section):
    """One of the site's own licensed KMS hosts. Repeat the table for each."""

    address: Address = Field(description="HOST or HOST:PORT of the KMS host; the port is 1688 unless given.")
    name: Label = Field("", description="Its name in logs and commands; by default its address.")
    priority: Word16 = Field(
        0, description="Lower is asked first, as in an SRV record; higher ones only when all lower ones are down."
    )
    weight: Annotated[int, Field(ge=1, le=65535)] = Field(
        100, description="Its share of the clients among the hosts of the same priority."
    )

    @property
    def label(self) -> str:
        """Its name in logs and commands."""
        return self.name or self.address

    @property
    def host_port(self) -> HostPort:
        """Its host and port."""
        return parse_host_port(self.address)


class PoolSettings(Section):
    """The connections kept to each upstream. With several workers, each has its share."""

    floor: Annotated[int, Field(ge=0, le=1000)] = Field(
        2,
        description="Bound connections kept in reserve. Calls that need more open them; what no call has needed for 30"
        " to 60 s is closed again.",
    )
    ceiling: Annotated[int, Field(ge=1, le=10000)] = Field(64, description="The most connections to one upstream.")
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        2048,
        description="Calls that may wait for a connection; further calls go to the next upstream, or get 'server"
        " too busy'.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> PoolSettings:
        if self.floor > self.ceiling:
            said = f"floor ({self.floor}) is above ceiling ({self.ceiling})"
            raise Contradictions([Fault(said, "lower floor", (("floor",), ("ceiling",)))])
        return self


class HealthSettings(Section):
    """How an upstream is found to be down, and how it comes back."""

    interval: Annotated[float, Field(ge=1, le=86400)] = Field(
        30.0, description="Seconds between probes (RPC bind and management call, no activation)."
    )
    timeout: Annotated[float, Field(ge=0.1, le=300)] = Field(
        5.0, description="Seconds that each step of a probe may take."
    )
    failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        2,
        description="Failures in a row, of probes, calls or connections, after which the upstream counts as down.",
    )
    backoff_first: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        1.0, description="Seconds until an upstream that went down is tried again; doubled after each failure."
    )
    backoff_longest: Annotated[float, Field(ge=0.1, le=86400)] = Field(
        60.0, description="The most seconds between such attempts."
    )
    slow_start: Annotated[float, Field(ge=0, le=86400)] = Field(
        30.0, description="Seconds over which an upstream that came back regains its share of clients step by step."
    )

    @model_validator(mode="after")
    def _ordered(self) -> HealthSettings:
        first, longest = self.backoff_first, self.backoff_longest
        if first > longest:
            said = f"backoff_first ({first:g}) is above backoff_longest ({longest:g})"
            raise Contradictions([Fault(said, "lower backoff_first", (("backoff_first",), ("backoff_longest",)))])
        return self


class GatewaySettings(Section):
    """The site's own licensed KMS hosts, and how calls reach them. Without any, kmstwist is a lab."""

    upstreams: tuple[UpstreamSettings, ...] = Field(
        (), description="The KMS hosts, each a [[gateway.upstreams]] table."
    )
    discover: Domain | None = Field(
        None, description="Find KMS hosts as clients do, through the _vlmcs._tcp SRV records of this DNS domain."
    )
    policy: Literal["sticky", "spread"] = Field(
        "sticky",
        description="sticky: a client keeps reaching the same host, so each host's count means something. "
        "spread: the host with the fewest calls under way, by weight.",
    )
    deadline: Annotated[float, Field(ge=0.1, le=300)] = Field(
        10.0, description="Seconds that a client's call may take in all, however many upstreams are tried."
    )
    attempt_timeout: Annotated[float, Field(ge=0.1, le=300)] = Field(
        5.0, description="Seconds that one upstream may take to answer before the next is tried."
    )
    remember_for: Annotated[float, Field(ge=0, le=31_536_000)] = Field(
        1_209_600.0,
        description="Seconds, from a client's last visit, to remember which host answers it when others said that they"
        " cannot (product not covered, host not activated). Clients renew every 7 days; the default is 14 days.",
    )
    remember_clients: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        100_000,
        description="Clients for which a host is remembered at most; beyond that, the client that asked "
        "longest ago is forgotten.",
    )
    pool: PoolSettings = PoolSettings.untouched()
    health: HealthSettings = HealthSettings.untouched()

    @model_validator(mode="after")
    def _consistent(self) -> GatewaySettings:
        faults = list(self._named_twice())
        # If only one of them is set, the deadline limits the attempt.
        if self.attempt_timeout > self.deadline and {"attempt_timeout", "deadline"} <= self.model_fields_set:
            said = (
                f"attempt_timeout ({self.attempt_timeout:g}) is above deadline ({self.deadline:g}): one silent host "
                f"would use up a call's time, and no other would be asked"
            )
            faults.append(Fault(said, "lower it", (("attempt_timeout",), ("deadline",))))
        if faults:
            raise Contradictions(faults)
        return self

    def _named_twice(self) -> Iterator[Fault]:
        """A fault for each upstream that repeats the name or the host of an earlier one."""
        labels: set[str] = set()
        hosts: dict[HostPort, str] = {}
        for number, upstream in enumerate(self.upstreams):
            label, table = upstream.label, ("upstreams", str(number))
            host = host_key(upstream.host_port)
            # Without a name, its address is its name, and another name would not make it another host.
            if label in labels and (upstream.name or host not in hosts):
                said = f"two upstreams are named '{label}'"
                yield Fault(said, "give each its own name", ((*table, "name"), (*table, "address")))
            if host in hosts:
                both = "two upstreams" if hosts[host] == label else f"'{hosts[host]}' and '{label}'"
                said = f"{both} are the same host, {upstream.address}"
                yield Fault(said, "name it once, with the weight it should have", ((*table, "address"),))
            labels.add(label)
            hosts.setdefault(host, label)

    @property
    def configured(self) -> bool:
        """Whether there is any host to be a gateway for."""
        return bool(self.upstreams) or self.discover is not None
