"""The `[dns]` sections of the configuration: publishing ourselves, and watching for strangers.

Durations are in seconds. What is left out of `[dns.publish]` (our host's name, our port) is filled in by the server,
which knows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, model_validator

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup import dns_names
from kmstwist.discovery.lookup.dns_names import DEFAULT_TIMEOUTS
from kmstwist.problem import WrongValue
from kmstwist.sections import RESTART, Section

# The messages of DNS are imported where they are needed: reading a configuration takes half as long without.
if TYPE_CHECKING:
    from kmstwist.discovery.publishing.gss import Kerberos
    from kmstwist.discovery.publishing.publication import Publication
    from kmstwist.discovery.publishing.tsig import TsigKey


def _server(text: str) -> str:
    return str(dns_names.host_port(text, dns_names.DNS_PORT))


def _server_address(text: str) -> str:
    return str(dns_names.dns_server(text))


Domain = Annotated[str, AfterValidator(dns_names.domain)]
TargetName = Annotated[str, AfterValidator(dns_names.host_name)]
PrimaryServer = Annotated[str, AfterValidator(_server)]
DnsServer = Annotated[str, AfterValidator(_server_address)]
HostName = Annotated[str, AfterValidator(lambda text: dns_names.host_port(text, dns_names.KMS_PORT).host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Word16 = Annotated[int, Field(ge=0, le=65535)]


class PublishSettings(Section):
    """Our SRV record in these domains, kept there with dynamic updates (RFC 2136).

    Off while `domains` is empty. `key_file` is a TSIG key file as `tsig-keygen` writes it; `key_name` names one of its
    keys if it holds several. `server` is the zone's primary, found through the zone's SOA record if left out. `refresh`
    is how often the record is published again: a Windows KMS host publishes its own every 24 hours.
    """

    domains: tuple[Domain, ...] = Field(
        (), description="The DNS domains in which to publish our record. Empty: none.", examples=[("corp.example.com",)]
    )
    host: TargetName | None = Field(
        None,
        description="The name to which clients are sent. By default this machine's full name.",
        examples=["kms.corp.example.com"],
    )
    port: Port | None = Field(
        None, description="The port to which clients are sent. By default the one on which we listen.", examples=[1688]
    )
    priority: Word16 = Field(0, description="Clients ask hosts with a lower number first (RFC 2782).")
    weight: Word16 = Field(100, description="A host's share among those of the same priority (RFC 2782).")
    ttl: Annotated[int, Field(ge=1, le=604800)] = Field(3600, description="How long resolvers may keep the record.")
    key_file: Path | None = Field(
        None, description="A TSIG key file, as tsig-keygen writes it.", examples=["/etc/kmstwist/tsig.key"]
    )
    key_name: str | None = Field(
        None, description="Which key of the file to use, if it holds several.", examples=["kmstwist"]
    )
    keytab: Path | None = Field(
        None,
        description="Instead of key_file: a keytab, to sign with Kerberos (GSS-TSIG), as Active Directory requires.",
        examples=["/etc/kmstwist/kmstwist.keytab"],
    )
    principal: str | None = Field(
        None,
        description="Which principal of the keytab. By default its first.",
        examples=["kmstwist@CORP.EXAMPLE.COM"],
    )
    server: PrimaryServer | None = Field(
        None,
        description="The zone's primary server. By default the one that its SOA record names.",
        examples=["10.0.0.53"],
    )
    refresh: Annotated[float, Field(ge=60)] = Field(
        86400.0, description="Seconds after which the record is published again."
    )
    retry_first: Annotated[float, Field(gt=0)] = Field(
        30.0, description="Seconds after which a failed update is first tried again."
    )
    retry_longest: Annotated[float, Field(gt=0)] = Field(
        3600.0, description="The longest wait between failed updates, in seconds."
    )
    replace_own: bool = Field(
        False,
        description="Whether earlier records of the same host and port, with another priority or weight, are removed.",
    )
    withdraw_on_stop: bool = Field(False, description="Whether the record is removed when kmstwist stops.")
    timeouts: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = Field(
        DEFAULT_TIMEOUTS, description="Seconds for which each attempt of an update waits for the DNS server."
    )

    def publications(self, host: str, port: int) -> tuple[Publication, ...]:
        """Our record for each domain, for clients to be sent to `host` and `port`.

        Raises `NameInvalid` where the host's name is not a name that clients elsewhere could resolve.
        """
        from kmstwist.discovery.publishing.publication import Publication

        target = dns_names.host_name(host)
        return tuple(
            Publication(domain, target, port, self.priority, self.weight, self.ttl)
            for domain in dict.fromkeys(self.domains)
        )

    @model_validator(mode="after")
    def _complete(self) -> PublishSettings:
        if self.principal is not None and self.keytab is None:
            raise WrongValue("principal says which one of a keytab", "give the keytab too")
        return self

    def key(self) -> TsigKey | Kerberos | None:
        """What signs: the TSIG key, read from its file, or the keytab; None where none is configured.

        Raises `KeyFileInvalid`.
        """
        from kmstwist.discovery.publishing.gss import Kerberos
        from kmstwist.discovery.publishing.tsig import KeyFileInvalid, read_key_file

        if self.key_file is not None and self.keytab is not None:
            raise KeyFileInvalid("key_file and keytab are two ways to sign", "give one of the two")
        if self.keytab is not None:
            return Kerberos(self.keytab, self.principal)
        return None if self.key_file is None else read_key_file(self.key_file, self.key_name)


class WatchSettings(Section):
    """Look in these domains, every `interval` seconds, for KMS hosts that the configuration does not name.

    `hosts` are known KMS hosts, in addition to the upstreams and ourselves. Off while `domains` is
    empty.
    """

    domains: tuple[Domain, ...] = Field(
        (), description="The DNS domains to look in. Empty: none.", examples=[("corp.example.com",)]
    )
    hosts: tuple[HostName, ...] = Field(
        (),
        description="Known KMS hosts, in addition to the upstreams and ourselves.",
        examples=[("kms9.corp.example.com",)],
    )
    interval: Annotated[float, Field(ge=60)] = Field(21600.0, description="Seconds between two looks.")


class DnsSettings(Section):
    """The DNS servers to ask, for every lookup."""

    servers: tuple[DnsServer, ...] = Field(
        (),
        description="DNS servers to ask for KMS hosts, strangers and zones, in this order, each an address with or "
        "without a port. By default those of /etc/resolv.conf.",
        examples=[("10.0.0.53",)],
    )
    publish: Annotated[PublishSettings, RESTART] = PublishSettings.untouched()
    watch: Annotated[WatchSettings, RESTART] = WatchSettings.untouched()

    @property
    def server_addresses(self) -> tuple[HostPort, ...]:
        """`servers` as addresses and ports."""
        return tuple(dns_names.dns_server(server) for server in self.servers)
