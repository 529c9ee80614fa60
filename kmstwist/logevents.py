"""Every line kmstwist writes to its log: the log is a contract, and this is its text.

A log event has a name that never changes, a level, and named fields; an administrator's `grep`, a parser or an alert
can rely on all of them. `docs/reference/log.md` is made from this table. Rooms emit events with `LogEvent.emit`; how
they look on a terminal, in a file or in the journal is decided by `kmstwist.server.log`.

Below every room, like `kmstwist.reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twisted.logger import Logger, LogLevel

#: Every event made, by name: what the reference is generated from.
REGISTRY: dict[str, LogEvent] = {}


@dataclass(frozen=True)
class LogEvent:
    """One kind of log line: its name, its level, what it says, and the meaning of each of its fields."""

    name: str
    level: str
    meaning: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(f"two log events are named {self.name}")
        REGISTRY[self.name] = self

    def emit(self, log: Logger, /, **fields: object) -> None:
        """Write the event. Values are formatted only if an observer wants the line."""
        log.emit(_LEVELS[self.level], None, kms_event=self.name, kms_fields=fields)


_LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}

CONVERSATION = LogEvent(
    "conversation",
    "info",
    "A client's call and what became of it; or a connection that ended without one. One line for each.",
    {
        "client": "the client's IP address",
        "port": "the client's TCP port",
        "version": "the KMS protocol version of the request",
        "machine": "the machine name in the request, where it is readable (V4, and the lab's own clients)",
        "product": "the product asked for, where it is readable",
        "upstream": "the KMS host that answered; absent in the lab",
        "result": "the outcome in words: activated, answered, refused, fault, none",
        "code": "the HRESULT or the RPC fault status that the client got",
        "count": "the client count in the answer, where it is readable",
        "reason": "the reason code (docs/reference/reasons.md)",
        "detail": "a sentence more, where there is one",
        "end": "who ended the connection, as far as it has ended: client, server or open",
        "phase": "how far the connection came: connected, bound, call, answered",
        "bind_ms": "milliseconds from the connection to the bind's acknowledgement",
        "call_ms": "milliseconds from the request to its answer",
        "total_ms": "milliseconds from the connection to this line",
        "bytes_in": "bytes received from the client",
        "bytes_out": "bytes sent to the client",
    },
)
STARTING = LogEvent(
    "starting",
    "info",
    "kmstwist starts.",
    {
        "version": "kmstwist's version",
        "mode": "lab or gateway",
        "python": "the Python version",
        "pid": "the process id",
    },
)
LAB = LogEvent(
    "lab",
    "info",
    "The lab is ready to answer.",
    {
        "host_id": "the lab host's id, as clients show it",
        "key": "the file with the lab's secret",
        "clients": "how many clients it remembers",
        "note": "what a lab is not",
    },
)
GATEWAY = LogEvent(
    "gateway",
    "info",
    "The gateway is ready to answer.",
    {"upstreams": "the KMS hosts behind it", "timeout_s": "how long an upstream may take for an answer"},
)
LISTENING = LogEvent(
    "listening", "info", "A listening port is open.", {"address": "where clients connect", "protocols": "what it takes"}
)
HINT = LogEvent("hint", "info", "What to try next.", {"try": "a command"})
STOPPED = LogEvent(
    "stopped",
    "info",
    "kmstwist has stopped.",
    {"conversations": "how many conversations it had", "activations": "how many calls it answered with success"},
)
LAB_STORE = LogEvent(
    "lab-store", "error", "The lab host's memory could not be written; it will be tried again.", {"detail": "why"}
)
UPSTREAM_DOWN = LogEvent(
    "upstream-down",
    "warn",
    "A KMS host that answered before does not any more.",
    {"upstream": "the KMS host", "reason": "the reason code", "detail": "why"},
)
UPSTREAM_UP = LogEvent("upstream-up", "info", "A KMS host answers again.", {"upstream": "the KMS host"})
DEFECT = LogEvent(
    "defect",
    "error",
    "A defect in kmstwist, with its traceback.",
    {"detail": "what was being done", "traceback": "where"},
)
DNS_PUBLISHED = LogEvent(
    "dns-published",
    "info",
    "Our SRV record stands in DNS; at start and at each refresh. Windows: event 12294.",
    {
        "domain": "the domain",
        "record": "the record, with the TTL it has",
        "zone": "the zone it is in",
        "server": "the DNS server that took it",
        "others": "how many records of other KMS hosts stand beside it",
        "took_ms": "milliseconds for all of it",
    },
)
DNS_PUBLISH_FAILED = LogEvent(
    "dns-publish-failed",
    "warn",
    "Our SRV record could not be published; it will be tried again. Windows: event 12293.",
    {
        "domain": "the domain",
        "record": "the record",
        "reason": "the reason code",
        "detail": "why, in a sentence",
        "attempt": "how many times in a row it has failed",
        "retry_s": "seconds until the next try",
    },
)
DNS_OUTDATED = LogEvent(
    "dns-outdated",
    "warn",
    "An earlier SRV record of this host, with another priority or weight, is still in DNS.",
    {"domain": "the domain", "record": "the earlier record", "try": "the command that takes it out"},
)
DNS_WITHDRAWN = LogEvent(
    "dns-withdrawn",
    "info",
    "Our SRV record was taken out of DNS, as kmstwist stops.",
    {"domain": "the domain", "record": "the record", "zone": "its zone", "server": "the DNS server that did it"},
)
DNS_WITHDRAW_FAILED = LogEvent(
    "dns-withdraw-failed",
    "warn",
    "Our SRV record could not be taken out of DNS; clients may go on finding it.",
    {"domain": "the domain", "record": "the record", "reason": "the reason code", "detail": "why, in a sentence"},
)
DNS_STRANGER = LogEvent(
    "dns-stranger",
    "warn",
    "DNS names a KMS host that the configuration does not; once, when it appears.",
    {
        "domain": "the domain",
        "host": "its name",
        "port": "its TCP port",
        "priority": "the SRV record's priority",
        "weight": "the SRV record's weight",
        "addresses": "its addresses; absent where the name does not resolve",
        "reason": "the reason code",
    },
)
DNS_STRANGER_GONE = LogEvent(
    "dns-stranger-gone",
    "info",
    "A stranger is no longer in DNS, or has been named in the configuration.",
    {"domain": "the domain", "host": "its name", "port": "its TCP port"},
)
DNS_WATCH_FAILED = LogEvent(
    "dns-watch-failed",
    "warn",
    "DNS did not answer the watch for strangers; what was known stays, and it looks again on schedule.",
    {"domain": "the domain", "problem": "the kind of failure", "detail": "why, in a sentence"},
)
