"""The `[events]` section of the configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from kmstwist.addresses import AddressError, HostPort, parse_host_port
from kmstwist.problem import WrongValue
from kmstwist.sections import CidrNetwork, Contradictions, Fault, Section

TCP, UDP, TLS = "tcp", "udp", "tls"
#: The ports of syslog (RFC 5426, RFC 6587) and of syslog over TLS (RFC 5425).
DEFAULT_PORTS = {TCP: 514, UDP: 514, TLS: 6514}

_LISTEN = re.compile(r"(tcp|udp|tls):(.+)")


@dataclass(frozen=True, slots=True)
class Place:
    """An address and port to listen at; `kind` is tcp, udp or tls."""

    kind: str
    at: HostPort

    def __str__(self) -> str:
        return f"{self.kind}:{self.at}"


def parse_place(text: str) -> Place:
    """KIND:ADDRESS:PORT. Raises `ValueError`, with a sentence."""
    found = _LISTEN.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        at = parse_host_port(found[2], DEFAULT_PORTS[found[1]])
        ip_address(at.host)
    except (AddressError, ValueError):
        raise ValueError(
            f"'{text}' must be tcp, udp or tls, an IP address of this machine and a port, such as tcp:10.0.0.5:5514"
        ) from None
    return Place(found[1], at)


def _place(text: str) -> str:
    parse_place(text)
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongValue(f"'{text}' is not a time zone", "write it as Europe/Berlin or UTC") from None
    return text


class EventsSettings(Section):
    """Receives the KMS hosts' events as they are logged, by syslog or as JSON lines."""

    listen: tuple[Annotated[str, AfterValidator(_place)], ...] = Field(
        (),
        description="Where to listen, each as KIND:ADDRESS:PORT with tcp, udp or tls for KIND; none by default.",
        examples=[("tcp:10.0.0.5:5514",)],
    )
    senders: tuple[CidrNetwork, ...] = Field(
        (),
        description="Who may send: the KMS hosts, or the collectors that send for them. All others are refused.",
        examples=[("10.0.0.20", "10.0.0.21")],
    )
    certificate: str | None = Field(
        None,
        description="For tls: the PEM file of the certificate with its chain and private key.",
        examples=["/etc/kmstwist/events.pem"],
    )
    client_ca: str | None = Field(
        None,
        description="For tls: the PEM file of the authorities that must have issued the senders' certificates.",
        examples=["/etc/kmstwist/senders-ca.pem"],
    )
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        None,
        description="The time zone of times without one, such as NXLog's. By default this machine's.",
        examples=["Europe/Berlin"],
    )

    @model_validator(mode="after")
    def _complete(self) -> EventsSettings:
        faults = []
        kinds = {place.kind for place in self.places}
        if kinds and not self.senders:
            faults.append(Fault("senders must name who may send events", "", (("senders",), ("listen",))))
        if TLS in kinds and self.certificate is None:
            faults.append(Fault("tls needs a certificate", "", (("certificate",), ("listen",))))
        if faults:
            raise Contradictions(faults)
        return self

    @property
    def places(self) -> tuple[Place, ...]:
        """Where to listen."""
        return tuple(map(parse_place, self.listen))
