"""Every reason code kmstwist gives for refusing, failing or ending something, in one table.

A reason code is what an administrator greps for: it stands in the log line (`reason=`), in the audit record and as a
label of the metrics, and it never changes its meaning. `docs/reference/reasons.md` is made from this table, and
`kmstwist log --explain` prints from it. The codes are grouped by who is at fault: the first word says where to look
(`client-`, `upstream-`, `rpc-`, `admission-`, `lab-`, `audit-`, `dns-`, `server-`).

Below every room of the layout, so that all of them speak the same codes; it imports nothing of the project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Reasons beginning with these words are refusals of our own; no KMS host was asked.
REFUSING = ("admission-", "audit-", "lab-", "rpc-", "server-")


class Reason(StrEnum):
    """A reason code; `EXPLANATIONS` holds the meaning and the cure of each."""

    OK = "ok"

    # What the peer sent is not RPC as C706 and [MS-RPCE] define it.
    RPC_NOT_RPC = "rpc-not-rpc"
    RPC_VERSION = "rpc-version"
    RPC_FRAGMENT_LENGTH = "rpc-fragment-length"
    RPC_MALFORMED_PDU = "rpc-malformed-pdu"
    RPC_UNEXPECTED_PDU = "rpc-unexpected-pdu"
    RPC_NOT_BOUND = "rpc-not-bound"
    RPC_SECOND_BIND = "rpc-second-bind"
    RPC_BAD_CONTEXT_LIST = "rpc-bad-context-list"
    RPC_AUTHENTICATION = "rpc-authentication"
    RPC_ASSOC_GROUP = "rpc-assoc-group"
    RPC_FRAGMENT_ORDER = "rpc-fragment-order"
    RPC_CALL_ID_IN_USE = "rpc-call-id-in-use"
    RPC_NOT_MULTIPLEXED = "rpc-not-multiplexed"
    RPC_REQUEST_TOO_LARGE = "rpc-request-too-large"
    RPC_TOO_MANY_CALLS = "rpc-too-many-calls"
    RPC_UNKNOWN_CONTEXT = "rpc-unknown-context"
    RPC_UNKNOWN_OPERATION = "rpc-unknown-operation"
    RPC_BAD_STUB = "rpc-bad-stub"
    RPC_NO_CALL = "rpc-no-call"
    RPC_NO_INTERFACE = "rpc-no-interface"

    # What the client did on the connection.
    CLIENT_CLOSED = "client-closed"
    CLIENT_LOST = "client-lost"
    CLIENT_ORPHANED = "client-orphaned"
    CLIENT_IDLE = "client-idle"
    CLIENT_RESERVE = "client-reserve"
    CLIENT_CHECK = "client-check"
    CLIENT_SLOW = "client-slow"
    CLIENT_TOTAL = "client-total"

    # Why a client was not admitted.
    ADMISSION_NETWORK = "admission-network"
    ADMISSION_RATE = "admission-rate"
    ADMISSION_NETWORK_RATE = "admission-network-rate"
    ADMISSION_CONNECTIONS = "admission-connections"
    ADMISSION_PROXY = "admission-proxy"

    # Why the lab did not answer.
    LAB_FOREIGN_MESSAGE = "lab-foreign-message"
    LAB_BAD_MESSAGE = "lab-bad-message"
    LAB_UNKNOWN_PRODUCT = "lab-unknown-product"
    LAB_CLOCK = "lab-clock"

    # Why the gateway did not answer.
    UPSTREAM_REFUSED = "upstream-refused"
    UPSTREAM_LOST = "upstream-lost"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    UPSTREAM_FAULT = "upstream-fault"
    UPSTREAM_PROTOCOL = "upstream-protocol"
    UPSTREAM_STATUS = "upstream-status"
    UPSTREAM_BIND_REJECTED = "upstream-bind-rejected"
    UPSTREAM_BUSY = "upstream-busy"
    UPSTREAM_DNS = "upstream-dns"
    UPSTREAM_NONE = "upstream-none"

    # Why our record was not published in DNS, or what is wrong there.
    DNS_REFUSED = "dns-refused"
    DNS_KEY = "dns-key"
    DNS_CLOCK = "dns-clock"
    DNS_KERBEROS = "dns-kerberos"
    DNS_NOT_ZONE = "dns-not-zone"
    DNS_SERVER_FAILURE = "dns-server-failure"
    DNS_BAD_ANSWER = "dns-bad-answer"
    DNS_TIMEOUT = "dns-timeout"
    DNS_UNREACHABLE = "dns-unreachable"
    DNS_LOOKUP = "dns-lookup"
    DNS_ALIAS = "dns-alias"
    DNS_TARGET = "dns-target"
    DNS_STRANGER = "dns-stranger"

    # What the audit decided.
    AUDIT_UNAVAILABLE = "audit-unavailable"

    # What we decided ourselves.
    SERVER_STOPPING = "server-stopping"
    SERVER_CONNECTIONS = "server-connections"
    SERVER_PAUSED = "server-paused"
    SERVER_ERROR = "server-error"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason code means and what an administrator does about it."""

    meaning: str
    cure: str


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.OK: Explanation("the call was answered", "nothing to do"),
    Reason.RPC_NOT_RPC: Explanation(
        "the first bytes are not a DCE/RPC PDU (an HTTP request, a TLS hello, a port scanner)",
        "find out what connects here from that address; KMS clients speak RPC on this port and nothing else does",
    ),
    Reason.RPC_VERSION: Explanation(
        "the PDU's RPC version is not 5.0 or 5.1",
        "the peer is not a connection-oriented DCE/RPC client; look at what it is",
    ),
    Reason.RPC_FRAGMENT_LENGTH: Explanation(
        "a fragment is shorter than its header or longer than the 5840 bytes that may be negotiated",
        "a broken client or a scanner; a Windows client never sends this",
    ),
    Reason.RPC_MALFORMED_PDU: Explanation(
        "a PDU's body is shorter than its header says, or its counts and offsets do not fit",
        "a broken client, or a middlebox that alters traffic on this port",
    ),
    Reason.RPC_UNEXPECTED_PDU: Explanation(
        "a PDU type that a client never sends at this point", "a broken client or a scanner"
    ),
    Reason.RPC_NOT_BOUND: Explanation(
        "a request or alter_context came before any bind", "a broken client or a scanner"
    ),
    Reason.RPC_SECOND_BIND: Explanation(
        "a second bind on a connection that is already bound",
        "a broken client; alter_context adds contexts, bind does not",
    ),
    Reason.RPC_BAD_CONTEXT_LIST: Explanation(
        "a presentation context list that is empty, negotiates features twice or contradicts an earlier one",
        "a broken client or a scanner",
    ),
    Reason.RPC_AUTHENTICATION: Explanation(
        "the peer sent an authentication verifier; KMS calls are anonymous and none is supported",
        "a tool that insists on authentication (some scanners do); KMS clients never authenticate",
    ),
    Reason.RPC_ASSOC_GROUP: Explanation(
        "a bind named an association group that does not (or no longer) exist, or that another address made",
        "harmless if rare: the client's other connection ended first, or another worker has it; the client will bind "
        "again",
    ),
    Reason.RPC_FRAGMENT_ORDER: Explanation(
        "a fragment of a request without its first one, or one that changes the call's context or operation",
        "a broken client or a scanner",
    ),
    Reason.RPC_CALL_ID_IN_USE: Explanation(
        "a new request carries the call id of one still under way", "a broken client"
    ),
    Reason.RPC_NOT_MULTIPLEXED: Explanation(
        "a second request while one is under way, on a connection that did not negotiate concurrent multiplexing",
        "a broken client; it may send requests one after the other",
    ),
    Reason.RPC_REQUEST_TOO_LARGE: Explanation(
        "a request in fragments exceeds the configured size, or all such requests together exceed the server's limit",
        "no KMS request comes near these limits; look at what the peer is",
    ),
    Reason.RPC_TOO_MANY_CALLS: Explanation(
        "too many calls under way on one connection", "a runaway client; KMS clients make one call at a time"
    ),
    Reason.RPC_UNKNOWN_CONTEXT: Explanation(
        "a request names a presentation context that was not accepted on this connection",
        "a broken client or a scanner",
    ),
    Reason.RPC_UNKNOWN_OPERATION: Explanation(
        "an operation number that the interface does not have", "a scanner, or a client of another interface"
    ),
    Reason.RPC_BAD_STUB: Explanation(
        "the call's arguments cannot be unmarshalled (a wrong count, too few bytes)", "a broken client or a scanner"
    ),
    Reason.RPC_NO_CALL: Explanation("a cancel for a call that was never begun", "a broken client"),
    Reason.RPC_NO_INTERFACE: Explanation(
        "the peer bound, but to no interface that this server has",
        "a scanner or another RPC service's client on this port",
    ),
    Reason.CLIENT_CLOSED: Explanation(
        "the client closed the connection, as clients do once they have their answer", "nothing to do"
    ),
    Reason.CLIENT_LOST: Explanation(
        "the client's connection broke (it was reset, or closed during a call)",
        "if it is frequent, look at the network in between",
    ),
    Reason.CLIENT_ORPHANED: Explanation(
        "the client gave up its call before the answer came", "check whether answers are slow"
    ),
    Reason.CLIENT_RESERVE: Explanation(
        "the client bound a connection and asked for nothing on it, as a gateway's reserve does; it was closed",
        "nothing to do",
    ),
    Reason.CLIENT_CHECK: Explanation(
        "a check that the server answers: a load balancer that connected and sent nothing, or a probe of the "
        "management interface, which asks for no activation",
        "nothing to do",
    ),
    Reason.CLIENT_IDLE: Explanation(
        "the client sent nothing within the idle timeout",
        "a monitoring probe that only connects, or a slow or dead client",
    ),
    Reason.CLIENT_SLOW: Explanation(
        "the client sent something, but no whole request within the request timeout",
        "a client that sends its bytes slowly, on purpose or over a very bad line; look at what it is",
    ),
    Reason.CLIENT_TOTAL: Explanation(
        "the connection was open for as long as the total timeout allows",
        "nothing to do: KMS clients are done in a second, and a gateway's reserved connection is opened again",
    ),
    Reason.ADMISSION_NETWORK: Explanation(
        "the client's address is in no network that may ask; the client was told 'access denied' (0x80070005)",
        "if the client is one of yours, add its network to allow in [admission]",
    ),
    Reason.ADMISSION_RATE: Explanation(
        "the client's address asked more often than its rate allows; the client was told 'too busy' and will come back",
        "look for a loop on that machine; many machines behind one address (NAT) need a higher client_rate, or exempt",
    ),
    Reason.ADMISSION_NETWORK_RATE: Explanation(
        "the client's network asked more often than its rate allows; its clients are told 'too busy' and will come "
        "back",
        "find out which machines there ask; raise network_rate if there really are that many",
    ),
    Reason.ADMISSION_CONNECTIONS: Explanation(
        "the client's address has too many connections open",
        "find out what that machine does; raise client_connections if many machines share the address",
    ),
    Reason.ADMISSION_PROXY: Explanation(
        "a PROXY protocol header came from an address that is not a configured load balancer, or none came from one "
        "that is",
        "name the balancer in proxy_from in [admission], and let it send the header (HAProxy: send-proxy-v2)",
    ),
    Reason.LAB_FOREIGN_MESSAGE: Explanation(
        "the message is not protected with this lab's key: a real Windows or Office client, or a client of another lab",
        "the lab grants no licences; configure an upstream. For a lab client, give it this lab's key (--lab-key)",
    ),
    Reason.LAB_BAD_MESSAGE: Explanation(
        "the message is not a KMS request: wrong length or unknown version", "look at what the client is"
    ),
    Reason.LAB_UNKNOWN_PRODUCT: Explanation(
        "the lab host's key does not cover the product",
        "start the lab with that product family, or ask for another",
    ),
    Reason.LAB_CLOCK: Explanation(
        "the client's clock and the host's differ by more than 4 hours",
        "set the client's clock, and look at its time source",
    ),
    Reason.UPSTREAM_REFUSED: Explanation(
        "the KMS host refused the connection, or there is no route to it",
        "check that the host is up, and that a firewall lets TCP 1688 through",
    ),
    Reason.UPSTREAM_LOST: Explanation(
        "the KMS host closed the connection during a call",
        "look at the host's Software Protection service and its event log",
    ),
    Reason.UPSTREAM_TIMEOUT: Explanation(
        "the KMS host gave no answer within the upstream timeout",
        "look at the host's load and at the network in between",
    ),
    Reason.UPSTREAM_FAULT: Explanation(
        "the KMS host answered with an RPC fault; it was passed on", "look the fault's status up: kmstwist errors CODE"
    ),
    Reason.UPSTREAM_PROTOCOL: Explanation(
        "the upstream sent something that is not RPC, or that answers another call",
        "check that the upstream's address and port belong to a KMS host",
    ),
    Reason.UPSTREAM_STATUS: Explanation(
        "the KMS host answered with a status of its own instead of an activation; it was passed on",
        "look the code up: kmstwist errors CODE",
    ),
    Reason.UPSTREAM_BIND_REJECTED: Explanation(
        "the upstream does not offer the KMS interface", "check that the KMS host service runs at that address"
    ),
    Reason.UPSTREAM_BUSY: Explanation(
        "every connection to the KMS hosts is in use and the queue is full, or this machine has no port, file "
        "descriptor or memory left for another",
        "raise the pool's limits or this machine's, or add a host",
    ),
    Reason.UPSTREAM_DNS: Explanation(
        "the upstream's name does not resolve",
        "check the name, and look it up on the gateway: getent hosts NAME",
    ),
    Reason.UPSTREAM_NONE: Explanation(
        "no KMS host was asked: none has been found in DNS yet, all are drained, or the call's time had run out",
        "kmstwist upstreams list shows them; kmstwist upstreams undrain NAME puts one back into use",
    ),
    Reason.SERVER_PAUSED: Explanation(
        "the administrator paused kmstwist; clients are told 'too busy' and will come back",
        "kmstwist gateway resume",
    ),
    Reason.DNS_REFUSED: Explanation(
        "the DNS server's policy does not allow our update of the zone",
        "allow the key in the zone's update-policy or allow-update, for _vlmcs._tcp and type SRV",
    ),
    Reason.DNS_KEY: Explanation(
        "the DNS server does not know our TSIG key, or has a different secret or algorithm for it",
        "compare the key's name, algorithm and secret in our key file and in the server's configuration",
    ),
    Reason.DNS_CLOCK: Explanation(
        "our clock and the DNS server's are more than 300 seconds apart, so no signature is valid",
        "look at the time source of both machines",
    ),
    Reason.DNS_KERBEROS: Explanation(
        "Kerberos gave no key for signing our update",
        "try it by hand: kinit -k -t KEYTAB PRINCIPAL, then kvno DNS/<the server's full name>; look at both clocks",
    ),
    Reason.DNS_NOT_ZONE: Explanation(
        "the DNS server is not the primary of the zone, or the name is in another zone",
        "name the zone's primary server in [dns.publish], or correct the domain",
    ),
    Reason.DNS_SERVER_FAILURE: Explanation(
        "the DNS server accepted our update but could not carry it out",
        "look at the DNS server's log; often it cannot write the zone's journal file",
    ),
    Reason.DNS_BAD_ANSWER: Explanation(
        "the DNS server's answer to our update cannot be used: it is broken, or not signed with our key",
        "look at what answers at the DNS server's address",
    ),
    Reason.DNS_TIMEOUT: Explanation(
        "the DNS server gave no answer in time",
        "check that the DNS server is up, and that a firewall lets UDP and TCP 53 through",
    ),
    Reason.DNS_UNREACHABLE: Explanation(
        "nothing listens at the DNS server's address", "check that the DNS server runs, and that its address is right"
    ),
    Reason.DNS_LOOKUP: Explanation(
        "the zone of the domain, or its primary server, cannot be found in DNS",
        "check that the domain is right; ask the same resolver: dig SOA _vlmcs._tcp.<domain>",
    ),
    Reason.DNS_ALIAS: Explanation(
        "the name of our record is an alias (CNAME) of another",
        "publish in the domain that the alias leads to, or remove the alias from the zone",
    ),
    Reason.DNS_TARGET: Explanation(
        "our record names something that an SRV record may not name: a host without an address, an alias, or something"
        " that is not a host name",
        "give the host an address in DNS first, or use the name that has one (--host, host in [dns.publish])",
    ),
    Reason.DNS_STRANGER: Explanation(
        "DNS names a KMS host that the configuration does not",
        "find out whose host it is: it takes clients away, and may not be licensed. If it is yours, add it to the "
        "configuration",
    ),
    Reason.AUDIT_UNAVAILABLE: Explanation(
        "the call's record could not be stored, and on_audit_failure is refuse; the client was told 'too busy'",
        "the audit-failing line says why; repair the store, or set on_audit_failure to serve",
    ),
    Reason.SERVER_STOPPING: Explanation("kmstwist is stopping", "nothing to do; clients try again later"),
    Reason.SERVER_CONNECTIONS: Explanation(
        "the limit of simultaneous connections is reached",
        "find out what holds so many connections open, or raise the limit",
    ),
    Reason.SERVER_ERROR: Explanation(
        "a defect in kmstwist; the log has its traceback", "report it with the traceback, where you got kmstwist"
    ),
}
