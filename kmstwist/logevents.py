"""Every line kmstwist writes to its log: the log is a contract, and this is its text.

A log event has a name that never changes, a level, and named fields; an administrator's `grep`, a parser or an alert
can rely on all of them. `docs/reference/log.md` is made from this table. Rooms emit events with `LogEvent.emit`;
`kmstwist.telemetry.lines` decides how they look, and `kmstwist.telemetry.log` where they go.

Below every room, like `kmstwist.reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twisted.logger import Logger, LogLevel

from kmstwist.clock import now

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
        log.observer({**self.frame(log), "kms_fields": fields, "log_time": now()})

    def frame(self, log: Logger) -> dict[str, object]:
        """What all events of this kind on this log have in common; only `kms_fields` and `log_time` differ.

        For code that writes very many of them: it makes the frame once, and gives `log.observer` a copy with its own
        fields and time.
        """
        # The same event as `Logger.emit` makes, which first searches all levels; that takes 2 µs.
        return {
            "kms_event": self.name,
            "log_logger": log,
            "log_level": _LEVELS[self.level],
            "log_namespace": log.namespace,
            "log_source": log.source,
            "log_format": None,
        }


_LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}

CONVERSATION = LogEvent(
    "conversation",
    "info",
    "A client's call and its outcome; or a connection that ended without one. One line for each.",
    {
        "client": "the client's IP address",
        "port": "the client's TCP port",
        "proxy": "the load balancer's address, where the client's comes from its PROXY header",
        "version": "the KMS protocol version of the request",
        "machine": "the machine name in the request, where it is readable (V4, and the lab's own clients)",
        "product": "the product asked for, where it is readable",
        "upstream": "the KMS host that answered, or the last one tried; absent in the lab",
        "result": "activated (the count is enough), answered (it is not, or cannot be read), refused, fault, or none",
        "code": "the HRESULT or the RPC fault status that the client got",
        "count": "the client count in the answer, where it is readable",
        "reason": "the reason code (docs/reference/reasons.md)",
        "detail": "one more sentence, where there is one",
        "end": "who ended the connection: client or server; open while it has not ended",
        "phase": "how far the connection came: connected, bound, call, answered",
        "bind_ms": "milliseconds from the connection to the bind's acknowledgement",
        "call_ms": "milliseconds from the request to its answer",
        "total_ms": "milliseconds from the connection to this line",
        "bytes_in": "bytes received from the client",
        "bytes_out": "bytes sent to the client",
    },
)
TRANSITION = LogEvent(
    "transition",
    "debug",
    "A step of a client's connection: a state machine, the state it was in, what happened, and the state it is in now.",
    {"client": "the client's IP address", "port": "the client's TCP port", "step": "machine: before, event: after"},
)
UNUSED = LogEvent(
    "unused",
    "debug",
    "A connection without a request: a gateway's reserve (client-reserve), or a check that the server answers, by a "
    "balancer or a probe (client-check). It does not count as a refusal.",
    {
        "client": "the client's IP address",
        "port": "the client's TCP port",
        "proxy": "the load balancer's address, where the client's comes from its PROXY header",
        "reason": "the reason code (docs/reference/reasons.md)",
        "total_ms": "milliseconds from the connection to its end",
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
AS_ROOT = LogEvent(
    "as-root",
    "warn",
    "kmstwist keeps running as root, so whoever breaks into it is root, too. Nothing that it does needs root.",
    {"cure": "what to do"},
)
DESCRIPTORS_FEW = LogEvent(
    "descriptors-few",
    "warn",
    "The process may not open as many files as the configuration's connections need. It accepts fewer connections, so "
    "that the store, the KMS hosts' connections and the site have enough. If server.limits.connections is not set, "
    "this is logged if fewer than a thousand fit.",
    {
        "limit": "how many open files a process may have (RLIMIT_NOFILE)",
        "wanted": "server.limits.connections",
        "clients": "how many connections of clients there may be",
        "cure": "what to do",
    },
)
DESCRIPTORS_OUT = LogEvent(
    "descriptors-out",
    "error",
    "So few file descriptors are left that no connection is accepted until there are more; new clients wait.",
    {"limit": "how many there may be", "cure": "what to do"},
)
DESCRIPTORS_FREE = LogEvent(
    "descriptors-free",
    "info",
    "There are enough file descriptors again; connections are accepted.",
    {"seconds": "for how long no connection was accepted"},
)
LAB = LogEvent(
    "lab",
    "info",
    "The lab is ready to answer.",
    {
        "host_id": "the lab host's id, as clients show it",
        "key": "the file with the lab's secret",
        "clients": "how many clients it remembers",
        "note": "a reminder that the lab grants no licences",
    },
)
GATEWAY = LogEvent(
    "gateway",
    "info",
    "The gateway is ready to answer.",
    {
        "upstreams": "the KMS hosts behind it",
        "discover": "the domain whose SRV records name more",
        "policy": "how a host is chosen for a client",
        "deadline_s": "how long a client's call may take in all",
    },
)
LISTENING = LogEvent(
    "listening", "info", "A listening port is open.", {"address": "where clients connect", "protocols": "what it takes"}
)
WEB = LogEvent(
    "web",
    "info",
    "Health, metrics and the status page are served.",
    {"url": "where", "users": "yes: a name and a password are required"},
)
LOGIN_FAILED = LogEvent(
    "login-failed",
    "warn",
    "Somebody gave the status site a wrong name or password, or tried again after too many wrong ones.",
    {
        "client": "the address, or in IPv6 the network, that it came from",
        "user": "the name that was given",
        "why": "what was wrong, or what was done about it",
    },
)
HINT = LogEvent("hint", "info", "What to try next.", {"try": "a command"})
STOPPED = LogEvent(
    "stopped",
    "info",
    "kmstwist has stopped.",
    {"conversations": "how many conversations there were", "activations": "how many calls it answered with success"},
)
HANDING_OVER = LogEvent(
    "handing-over",
    "info",
    "kmstwist hands its listening sockets to another process that starts in its place (--take-over), and ends.",
)
TOOK_OVER = LogEvent(
    "took-over",
    "info",
    "kmstwist has taken over the listening sockets of the process that ran before it; clients that came in between "
    "waited.",
    {"waited_ms": "milliseconds in which no connection was accepted, until the other process had ended"},
)
LAB_STORE = LogEvent(
    "lab-store", "error", "The lab host's memory could not be written; it will be tried again.", {"detail": "why"}
)
UPSTREAM_DOWN = LogEvent(
    "upstream-down",
    "warn",
    "A KMS host does not answer, or has stopped answering; it gets no calls until it answers again.",
    {"upstream": "the KMS host", "reason": "the reason code", "detail": "why"},
)
UPSTREAM_UP = LogEvent("upstream-up", "info", "A KMS host answers again.", {"upstream": "the KMS host"})
LOG_LOST = LogEvent(
    "log-lost",
    "error",
    "Lines are lost: they could not be written to the log file, or the journal did not take them. Writing works again.",
    {"lines": "how many", "detail": "why"},
)
LOG_REOPEN = LogEvent(
    "log-reopen",
    "error",
    "The log file could not be opened again after its rotation; kmstwist keeps writing to the old one.",
    {"file": "the log file", "detail": "why"},
)
MANAGER_DEAF = LogEvent(
    "manager-deaf",
    "warn",
    "systemd could not be told that kmstwist is ready, or that it is alive; it may start it again.",
    {"message": "what it should have been told: READY=1 or WATCHDOG=1", "detail": "why"},
)
SUPPRESSED = LogEvent(
    "suppressed",
    "warn",
    "Lines like these came in a flood and were dropped. Metrics and the audit have counted every one.",
    {
        "of_event": "the event of the dropped lines",
        "for_result": "their result, where they have one",
        "for_reason": "their reason code, where they have one",
        "lines": "how many were dropped",
        "seconds": "in how many seconds",
    },
)
AUDIT_FAILING = LogEvent(
    "audit-failing",
    "error",
    "The audit's store cannot be written. At most once a minute while it lasts.",
    {
        "policy": "what happens to calls meanwhile: serve (answered, stored later) or refuse",
        "waiting": "how many records wait",
        "detail": "why",
    },
)
AUDIT_STORE_LOST = LogEvent(
    "audit-store-lost",
    "error",
    "The audit's store is no longer the file that was opened. Until it is back, calls are treated as [audit] "
    "on_audit_failure says; if the store was moved away, a new one is made.",
    {"store": "the store's file", "detail": "what happened to it"},
)
AUDIT_STORE_OPENED = LogEvent(
    "audit-store-opened",
    "info",
    "The audit has a store again: the one that was put in its place, or a new one.",
    {"store": "the store's file"},
)
AUDIT_STORE_UPGRADED = LogEvent(
    "audit-store-upgraded",
    "info",
    "A store that an earlier version made has this version's tables and indexes now. Calls waited for it.",
    {
        "store": "the store's file, or the central store",
        "from_revision": "what it was at",
        "to_revision": "what it is at now",
        "seconds": "how long that took",
    },
)
AUDIT_ASIDE_ENDED = LogEvent(
    "audit-aside-ended",
    "warn",
    "The process that commits records while many arrive could not be started, hung, or ended by itself. Nothing is "
    "lost: the server commits them, and tries another process in a minute.",
    {"status": "its exit status, where it was started", "detail": "why"},
)
AUDIT_RECOVERED = LogEvent(
    "audit-recovered",
    "info",
    "The audit's store can be written again.",
    {"waiting": "how many records still wait to be stored", "dropped": "how many were dropped since the start"},
)
AUDIT_DROPPED = LogEvent(
    "audit-dropped",
    "error",
    "A record was dropped because the queue is full. At most once a minute while it lasts.",
    {"dropped": "how many were dropped since the start", "detail": "why"},
)
AUDIT_REJECTED = LogEvent(
    "audit-rejected",
    "error",
    "The audit's store cannot hold a record because of what is in it; the others are stored.",
    {"record": "the record's id", "client": "the client's IP address", "detail": "why"},
)
AUDIT_LOST = LogEvent(
    "audit-lost",
    "error",
    "kmstwist stops while the audit's store cannot be written.",
    {"lost": "how many records are lost", "detail": "why"},
)
AUDIT_FORWARDING = LogEvent(
    "audit-forwarding", "info", "Records are forwarded to the central store.", {"target": "the central store"}
)
AUDIT_FORWARD_FAILING = LogEvent(
    "audit-forward-failing",
    "warn",
    "The central store cannot be fed; records wait in the local one. Logged every ten minutes while it lasts.",
    {"target": "the central store", "behind": "how many records wait", "detail": "why"},
)
AUDIT_FORWARD_REJECTED = LogEvent(
    "audit-forward-rejected",
    "error",
    "The central store cannot hold a record; it stays in the local one only.",
    {"target": "the central store", "record": "the record's id", "detail": "why"},
)
AUDIT_RETENTION = LogEvent(
    "audit-retention",
    "info",
    "The audit's retention removed records that were too old or too many.",
    {"deleted": "rows"},
)
AUDIT_RETENTION_FAILING = LogEvent(
    "audit-retention-failing", "warn", "The audit's retention failed; it tries again in an hour.", {"detail": "why"}
)
EVENTS_LISTENING = LogEvent(
    "events-listening", "info", "Events of KMS hosts are received here.", {"at": "kind, address and port"}
)
EVENTS_CERTIFICATE = LogEvent(
    "events-certificate",
    "info",
    "The certificate for events over TLS was read again, as it is at each reload. New connections have it.",
    {"file": "the file", "until": "when it expires"},
)
EVENTS_CERTIFICATE_UNUSABLE = LogEvent(
    "events-certificate-unusable",
    "error",
    "The certificate for events over TLS was to be read again, and cannot be used. The former one stays in use.",
    {"detail": "why, and the cure"},
)
EVENTS_REFUSED = LogEvent(
    "events-refused",
    "warn",
    "An address that is not a configured sender sends events. Logged once in ten minutes for each.",
    {"peer": "the address"},
)
EVENTS_DROPPED = LogEvent(
    "events-dropped",
    "warn",
    "Events were sent but could not be accepted. Logged once in ten minutes for each sender and reason.",
    {
        "peer": "the sender's address",
        "reason": "too-long: a message above the limit; no-room: more came than could be stored; connections: the "
        "limit of open connections is reached, so another was closed",
    },
)
EVENTS_BROKEN = LogEvent(
    "events-broken",
    "warn",
    "Messages contained no event that can be read. Logged once in ten minutes, for the first.",
    {"number": "how many of those processed together", "where": "the first one's sender", "detail": "why"},
)
EVENTS_FAILING = LogEvent(
    "events-failing",
    "warn",
    "Events cannot be received or stored at present; those that wait are kept and tried again. Logged once in ten "
    "minutes.",
    {"waiting": "messages that wait", "detail": "why"},
)
EVENTS_LOST = LogEvent(
    "events-lost",
    "error",
    "The server ended before it could store events that it had received.",
    {"messages": "how many", "detail": "why"},
)
AUDIT_TOO_LARGE = LogEvent(
    "audit-too-large",
    "warn",
    "keep_mib is too small for what the audit must keep. Logged once an hour, when retention runs.",
    {"size": "the bytes in use", "limit": "the bytes that keep_mib allows", "detail": "what is left, and the cure"},
)
AUDIT_STRANGERS_FAILING = LogEvent(
    "audit-strangers-failing",
    "warn",
    "The strangers that the watch found could not be stored; the report of strangers lacks what it found this time.",
    {"detail": "why"},
)
DISCOVERED = LogEvent(
    "upstreams-found",
    "info",
    "DNS names other KMS hosts than before.",
    {
        "domain": "the domain whose SRV records were asked for",
        "upstreams": "the hosts, each with (priority,weight)",
        "ttl_s": "seconds until DNS is asked again",
    },
)
DISCOVERY_FAILED = LogEvent(
    "upstreams-not-found",
    "warn",
    "DNS names no KMS host that can be used; those found before are kept.",
    {"domain": "the domain whose SRV records were asked for", "detail": "why", "kept": "the hosts that stay in use"},
)
UPSTREAM_DRAIN = LogEvent(
    "upstream-drain",
    "info",
    "The administrator drained a KMS host, or put it back into use.",
    {"upstream": "the KMS host", "state": "drained, or its state after it was put back into use"},
)
PAUSED = LogEvent(
    "paused",
    "info",
    "The administrator paused or resumed kmstwist.",
    {"paused": "yes: clients are told 'too busy'; no: they are answered again"},
)
LEAVING = LogEvent(
    "leaving",
    "info",
    "/readyz returns 503 from now on, so that balancers send clients elsewhere; clients are still answered for a "
    "while.",
    {"seconds": "for how many seconds", "then": "what follows: pause or stop"},
)
STILL_SWITCHED = LogEvent(
    "still-switched",
    "warn",
    "What the administrator switched by hand before the restart is still in effect.",
    {
        "paused": "yes: clients are told 'too busy'",
        "drained": "KMS hosts that get no calls",
        "cure": "how to switch it back",
    },
)
SWITCHES_LOST = LogEvent(
    "switches-lost",
    "error",
    "What was switched by hand (pause, drain) is lost at the next restart, or was lost at the last one.",
    {"detail": "why the file in the state folder cannot be used"},
)
CONFIG_APPLIED = LogEvent(
    "config",
    "info",
    "The configuration was read again and is in force; no connection was cut.",
    {"file": "the file", "changed": "what is in force now", "restart": "what takes effect only after a restart"},
)
CONFIG_REFUSED = LogEvent(
    "config-refused",
    "error",
    "A changed configuration was refused; the old one stays. One line for each mistake.",
    {"detail": "the mistake, with its place and its cure"},
)
CONTROL_UNAVAILABLE = LogEvent(
    "no-control",
    "warn",
    "There is no control socket: the commands that need it (kmstwist upstreams, gateway, config reload) will not work.",
    {"path": "where it should be", "detail": "why"},
)
WORKER_STARTED = LogEvent(
    "worker-started", "info", "A worker process runs.", {"worker": "its number", "worker_pid": "its process id"}
)
WORKER_NOT_STARTED = LogEvent(
    "worker-not-started",
    "error",
    "A worker process cannot be started at present: processes, memory or file descriptors have run out, or Python is "
    "missing. It will be tried again.",
    {"worker": "its number", "detail": "why", "again_s": "seconds until it is tried again"},
)
WORKER_ENDED = LogEvent(
    "worker-ended",
    "warn",
    "A worker process ended by itself; another takes its place.",
    {"worker": "its number", "worker_pid": "its process id", "how": "how it ended", "again_s": "seconds until then"},
)
WORKER_SILENT = LogEvent(
    "worker-silent",
    "error",
    "A worker process is alive but no longer answers its supervisor; it is killed, and another takes its place.",
    {
        "worker": "its number",
        "worker_pid": "its process id",
        "questions": "how many questions in a row it has not answered",
    },
)
WORKER_STUCK = LogEvent(
    "worker-stuck",
    "error",
    "A worker process hangs while it starts, before it can be asked; it is killed, and another takes its place.",
    {
        "worker": "its number",
        "worker_pid": "its process id",
        "seconds": "since it was started",
        "still_s": "of those, seconds in which nothing happened in it at the end",
    },
)
WORKER_UNREACHABLE = LogEvent(
    "worker-unreachable",
    "warn",
    "A worker process cannot be asked because its control socket is gone; it ends in an orderly way, and another takes"
    " its place.",
    {"worker": "its number", "worker_pid": "its process id", "path": "where the control socket was"},
)
DEFECT = LogEvent(
    "defect",
    "error",
    "A defect in kmstwist, with its traceback.",
    {"detail": "what was being done", "traceback": "where"},
)
NOTIFIED = LogEvent(
    "notified",
    "info",
    "A message was sent to a target of [notify].",
    {"target": "its number and kind; its URL is never shown", "subject": "the message's title"},
)
NOTIFY_FAILING = LogEvent(
    "notify-failing",
    "warn",
    "A message could not be sent to a target of [notify]; it will be tried again.",
    {
        "target": "its number and kind; its URL is never shown",
        "subject": "the message's title",
        "detail": "why, without the secret parts of the URL",
        "tried": "how often it was tried",
        "retry_s": "seconds until the next try",
    },
)
NOTIFY_LOST = LogEvent(
    "notify-lost",
    "error",
    "A message was given up: it could not be sent for three days, or too many messages wait.",
    {
        "target": "the target's number and kind; absent where the message is for several",
        "subject": "the message's title",
        "detail": "why",
    },
)
NOTIFY_BLIND = LogEvent(
    "notify-blind",
    "warn",
    "What [notify] watches cannot be read now. It tries again, and sends no messages about it meanwhile.",
    {"what": "the audit's count of clients, the expiring machines, or the weekly summary", "detail": "why"},
)
NOTIFY_MEMORY = LogEvent(
    "notify-memory",
    "warn",
    "The note of which messages were sent, and which still wait, cannot be saved or read. After a restart, some "
    "messages may be sent again.",
    {"file": "the file in the state folder", "detail": "why"},
)
DNS_PUBLISHED = LogEvent(
    "dns-published",
    "info",
    "Our SRV record is in DNS. Logged at the start and at each refresh. Windows: event 12294.",
    {
        "domain": "the domain",
        "record": "the record, with its TTL",
        "zone": "the zone it is in",
        "server": "the DNS server that accepted it",
        "others": "how many records of other KMS hosts are there too",
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
DNS_TARGET_UNUSABLE = LogEvent(
    "dns-target-unusable",
    "warn",
    "The host that our SRV record names has no address in DNS, or is an alias; the record is published all the same.",
    {"domain": "the domain", "host": "the host's name", "reason": "the reason code", "detail": "why, in a sentence"},
)
DNS_OUTDATED = LogEvent(
    "dns-outdated",
    "warn",
    "An earlier SRV record of this host, with another priority or weight, is still in DNS.",
    {"domain": "the domain", "record": "the earlier record", "try": "the command that removes it"},
)
DNS_WITHDRAWN = LogEvent(
    "dns-withdrawn",
    "info",
    "Our SRV record was removed from DNS, because kmstwist stops.",
    {"domain": "the domain", "record": "the record", "zone": "its zone", "server": "the DNS server that did it"},
)
DNS_WITHDRAW_FAILED = LogEvent(
    "dns-withdraw-failed",
    "warn",
    "Our SRV record could not be removed from DNS; clients may still find it.",
    {"domain": "the domain", "record": "the record", "reason": "the reason code", "detail": "why, in a sentence"},
)
DNS_STRANGER = LogEvent(
    "dns-stranger",
    "warn",
    "DNS names a KMS host that the configuration does not. Logged once, when it appears.",
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
    "DNS did not answer the watch for strangers. What was known stays, and the watch looks again on schedule.",
    {"domain": "the domain", "problem": "the kind of failure", "detail": "why, in a sentence"},
)
