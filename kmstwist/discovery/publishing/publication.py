"""What is published: one SRV record of ours; apart from the messages that publish it, which take long to load."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kmstwist.discovery.lookup.dns_names import service_name
from kmstwist.discovery.lookup.srv import SrvRecord


@dataclass(frozen=True, slots=True)
class Publication:
    """One SRV record of ours in one domain. `ttl` in seconds; `target` our host's full name."""

    domain: str
    target: str
    port: int = 1688
    priority: int = 0
    weight: int = 100
    ttl: int = 3600

    @property
    def name(self) -> str:
        """The record's owner name, without the final dot."""
        return service_name(self.domain)

    @property
    def record(self) -> SrvRecord:
        """The record itself."""
        return SrvRecord(self.priority, self.weight, self.port, self.target, self.ttl)

    def with_ttl(self, ttl: int) -> Publication:
        """The same with another TTL (seconds)."""
        return dataclasses.replace(self, ttl=ttl)

    def __str__(self) -> str:
        return f"{self.name}. {self.ttl} IN SRV {self.record}"
