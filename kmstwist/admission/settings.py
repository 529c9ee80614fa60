"""The `[admission]` section of the configuration."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, model_validator

from kmstwist.sections import CidrNetwork, Contradictions, Fault, Section

#: Private, link-local and loopback addresses (RFC 1918, 3927, 4193, 4291): those that may ask by default.
PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
LOOPBACK = ("127.0.0.0/8", "::1/128")


Rate = Annotated[float, Field(ge=0, le=1_000_000)]


class AdmissionSettings(Section):
    """Who may ask, how often, and over how many connections. This applies to the lab too."""

    allow: tuple[CidrNetwork, ...] = Field(
        tuple(map(ip_network, PRIVATE_NETWORKS)),
        description="Networks that may ask. The most specific network of allow and deny decides; addresses in neither "
        "are denied.",
    )
    deny: tuple[CidrNetwork, ...] = Field(
        (),
        description="Networks that may not ask; their clients get 'access denied'. A network that is allowed by "
        "default is removed from allow.",
    )
    exempt: tuple[CidrNetwork, ...] = Field(
        tuple(map(ip_network, LOOPBACK)),
        description="Networks whose clients have no limits of their own on calls and connections.",
    )
    proxy_from: tuple[CidrNetwork, ...] = Field(
        (),
        description="Load balancers that must begin each connection with a PROXY protocol header (v1 or v2). Such a "
        "header from any other address is refused.",
    )
    client_rate: Rate = Field(0.0, description="Calls a minute from one client address; 0 means no limit.")
    client_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        20, description="Calls that a client address may make at once before its rate applies."
    )
    network_rate: Rate = Field(0.0, description="Calls a minute from one client network; 0 means no limit.")
    network_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        500, description="Calls that a client network may make at once before its rate applies."
    )
    network_prefix_ipv4: Annotated[int, Field(ge=8, le=32)] = Field(
        24, description="The prefix length of a client network in IPv4."
    )
    network_prefix_ipv6: Annotated[int, Field(ge=16, le=128)] = Field(64, description="The same in IPv6.")
    client_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        256,
        description="Connections that one client address may have open; if the server allows 16 or more in all, at "
        "most half of those. Further ones are closed at once.",
    )
    remembered: Annotated[int, Field(ge=16, le=10_000_000)] = Field(
        65_536, description="The most addresses and networks whose rates are remembered; this limits the memory."
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> AdmissionSettings:
        both = set(self.allow) & set(self.deny)
        if both and "allow" not in self.model_fields_set:
            # Denying a network that is allowed by default removes it from allow. The frozen model is changed here, so
            # that the configuration shown as in force is a valid one.
            object.__setattr__(self, "allow", tuple(network for network in self.allow if network not in both))
        elif both:
            raise Contradictions(
                Fault(
                    f"{network} is in allow and in deny",
                    "take it out of one",
                    (("deny", str(number)), ("allow", str(self.allow.index(network)))),
                )
                for number, network in enumerate(self.deny)
                if network in both
            )
        return self
