"""The audit record: one for every activation call and every refusal.

A record is made once, by a `RecordMaker` at the moment the outcome is known, and never changed by the server after
that. Its id is a UUID of version 7 (RFC 9562 5.7): it begins with the record's time in milliseconds, so ids made by
one gateway sort by time, and two gateways never make the same one. That makes sending a record twice harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from uuid import UUID

from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.sums.networks import network_of
from kmstwist.kms.catalogue import WINDOWS
from kmstwist.reasons import REFUSING, Reason

# Commands that work on a store make no calls, and do without RPC.
if TYPE_CHECKING:
    from kmstwist.kms.activation import ActivationCall, RequestFacts

# A KMS client concludes this by itself when the count in a good answer is below its N-Policy.
COUNT_INSUFFICIENT = 0xC004F038
#: What the status of a call that failed can be: see `Record.kind`.
KINDS = ("hresult", "fault", "client")

# The gateway and the KMS version in the record of a request that only an event reports: an event names neither.
NO_GATEWAY = ""
FROM_EVENT = 0

# The gateway's own refusals. The lab's refusals come from its KMS host.
_NO_HOST = tuple(word for word in REFUSING if word != "lab-")

#: Told once: None when a record is committed, or its call goes on without; `AuditUnavailable` if it is to be refused.
Told = Callable[[Exception | None], object]


# Not frozen: nobody changes a record, and making a frozen one takes twice as long (5.2 µs instead of 2.4).
@dataclass(slots=True)
class Phases:
    """How long each part of a call took, in milliseconds; None for a part that was not reached.

    `receive` runs from the connection's first byte (or the end of its previous call) to the complete request, `answer`
    from there to the upstream's or the lab's answer.
    """

    receive: float | None = None
    answer: float | None = None


@dataclass(slots=True)
class Record:
    """What happened to one call, or to one peer that was refused before it made a call.

    `at` is in milliseconds since 1970 (UTC). `client` is the address the call came from as admission saw it; `peer`
    the PROXY protocol's proxy, where there was one. `version` is the KMS major version (4, 5 or 6), None when no
    KMS message was read. A request that only the KMS host's event reports has no `gateway` and no `client` (both ""),
    and the version `FROM_EVENT`. At most one of `hresult` (the KMS answer's status) and `fault` (an RPC fault's status)
    is set; a refusal before any call has neither. The fields from `machine` on are what `RequestFacts` could read.
    """

    record_id: bytes
    at: int
    gateway: str
    client: str
    reason: Reason
    peer: str | None = None
    version: int | None = None
    upstream: str | None = None
    hresult: int | None = None
    fault: int | None = None
    detail: str = ""
    phases: Phases = field(default_factory=Phases)
    bytes_in: int = 0
    bytes_out: int = 0
    machine: str | None = None
    cmid: str | None = None
    app_id: str | None = None
    act_id: str | None = None
    product: str | None = None
    license_status: int | None = None
    virtual_machine: bool | None = None
    minutes_left: int | None = None
    required_count: int | None = None
    count: int | None = None

    #: A KMS host (or the lab) answered the call with a status, good or not, and so counts the client.
    seen_by_host: bool = field(init=False, repr=False, compare=False)
    #: The client activates with this answer, as far as is known: the count, if readable, is high enough.
    granted: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once, because each of the sums needs it.
        self.seen_by_host = self.hresult is not None and not self.reason.startswith(_NO_HOST)
        self.granted = self.hresult == 0 and (
            self.count is None or self.required_count is None or self.count >= self.required_count
        )

    @property
    def from_event(self) -> bool:
        """Whether only the KMS host's event reports the call."""
        return self.gateway == NO_GATEWAY

    @property
    def answered(self) -> bool:
        """Whether the KMS host (or the lab) gave a good answer, even if its count is too low for the client."""
        return self.hresult == 0

    # -- what a record adds to the sums, beside its own values: see the definitions in `sums`

    calls: ClassVar[int] = 1

    @property
    def hour(self) -> int:
        """The hour it is of: whole hours since 1970 (UTC)."""
        return self.at // HOUR_MS

    @property
    def known_as(self) -> str:
        """The machine's name in the audit, as `machine_key` makes it."""
        return machine_key(self.machine, self.client)

    @property
    def is_named(self) -> bool:
        """Whether the machine is known by its own name, and not by its address."""
        return self.machine is not None

    @property
    def network(self) -> str:
        """The network the call came from."""
        return network_of(self.client)

    @property
    def app(self) -> str:
        """The application, as far as it is known; "" where it is not."""
        # An imported event names the product but not its application; products of one machine are still kept apart.
        return self.app_id or self.act_id or ""

    @property
    def slot(self) -> str:
        """What tells the application's products on one machine apart; "" for Windows, of which a machine has one."""
        return "" if self.app == _WINDOWS else self.act_id or ""

    @property
    def granted_at(self) -> int | None:
        """Its time, if it was granted."""
        return self.at if self.granted else None

    @property
    def seen_at(self) -> int | None:
        """Its time, if a KMS host counts the client for it."""
        return self.at if self.seen_by_host else None

    @property
    def kind(self) -> str:
        """What `status` is: the KMS host's "hresult", an RPC "fault", the "client"'s own conclusion, or "none"."""
        if self.fault is not None:
            return "fault"
        if self.hresult is None:
            return "none"
        return "client" if self.hresult == 0 else "hresult"

    @property
    def status(self) -> int:
        """With what the call failed; 0 if it was granted, or failed without a status."""
        if self.granted:
            return 0
        if self.fault is not None:
            return self.fault
        return COUNT_INSUFFICIENT if self.hresult == 0 else self.hresult or 0

    @property
    def machine_said(self) -> str:
        """The name that the machine gave itself, "" if none could be read."""
        return self.machine or ""

    @property
    def upstream_asked(self) -> str:
        """The KMS host that was asked, "" if none was."""
        return self.upstream or ""

    @property
    def product_asked(self) -> str:
        """The product that hours are counted by, "" if none is known."""
        # Earlier versions' sums have no id for gateways' calls.
        return self.product or (self.act_id if self.act_id and self.from_event else "")

    @property
    def answer_ms(self) -> float:
        """How long the answer took, in milliseconds; 0 if there was none."""
        return self.phases.answer or 0.0

    @property
    def has_answer_ms(self) -> bool:
        """Whether it is known how long the answer took."""
        return self.phases.answer is not None


_WINDOWS: Final = str(WINDOWS)


def machine_key(machine: str | None, client: str) -> str:
    """The machine's name in the audit: its own, in lower case because DNS ignores case, else its address."""
    return machine.lower() if machine else client


def having(
    records: Sequence[Record],
    given: Sequence[Callable[[Record], object]],
    unless: Callable[[Record], object] | None,
) -> Sequence[Record]:
    """Those of the records for which no function of `given` returns None, and `unless` nothing that is true."""
    for value_of in given:
        if None in map(value_of, records):
            records = [record for record in records if value_of(record) is not None]
    if unless is not None and any(map(unless, records)):
        records = list(filterfalse(unless, records))
    return records


class RecordIds:
    """Makes record ids: UUIDs of version 7, each greater than the one before even within a millisecond.

    `entropy(n)` returns `n` random bytes (`os.urandom` in the server).
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._last, self._last_at = 0, -1

    def make(self, at: int) -> bytes:
        """A new id of 16 bytes for a record of time `at` (milliseconds since 1970)."""
        if at == self._last_at:
            # RFC 9562 6.2 method 2: within one millisecond, count on from the last id; the low 62 bits never run over
            # in practice, and would change the variant bits only. The system is not asked for random bytes each time.
            self._last += 1
        else:
            random = int.from_bytes(self._entropy(10), "big")
            rand_a, rand_b = random >> 68, random & ((1 << 62) - 1)
            self._last_at = at
            self._last = (at & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (rand_a & 0xFFF) << 64 | 0b10 << 62 | rand_b
        return self._last.to_bytes(16, "big")


def id_text(record_id: bytes) -> str:
    """A record id as a UUID is written."""
    return str(UUID(bytes=record_id))


def first_id_at(at: int) -> bytes:
    """The lowest id a record of time `at` (milliseconds since 1970) or later can have."""
    return (min(max(at, 0), (1 << 48) - 1) << 80).to_bytes(16, "big")


class RecordMaker:
    """Makes the records of one gateway. `now` returns the time in seconds since 1970."""

    def __init__(self, gateway: str, now: Callable[[], float], ids: RecordIds) -> None:
        self._gateway = gateway
        self._now = now
        self._ids = ids

    def make(self, call: ActivationCall) -> Record:
        """The record of a call in its present state, or of a peer that was refused before it made one."""
        at = int(self._now() * 1000)
        answer, answered_at, version, facts = call.answer, call.answered_at, call.version, call.facts
        # In the order of a record's fields: by their names it takes longer.
        return Record(
            self._ids.make(at),
            at,
            self._gateway,
            call.client,
            call.reason,
            call.proxy,
            None if version is None else version.major,
            call.upstream,
            call.hresult,
            call.fault_status,
            call.detail,
            Phases(call.receive_ms, None if answered_at is None else (answered_at - call.started) * 1000),
            call.bytes_in,
            0 if answer is None or call.fault is not None else len(answer.message),
            *_from_machine_on(facts, None if answer is None else answer.count),
        )


class Audit(Protocol):
    """What the recorder needs of the audit."""

    maker: RecordMaker

    def take(self, record: Record, told: Told) -> None:
        """Store a record; `told` is called when it is stored, or with why it cannot be."""


class Recorder:
    """The audit as calls see it; without an audit, no call waits."""

    def __init__(self, audit: Audit | None) -> None:
        self.audit = audit

    def record(self, account: ActivationCall, told: Told) -> None:
        """Record a call in its present state; `told` is called when it is stored, or with why it cannot be.

        At once without an audit.
        """
        audit = self.audit
        if audit is None:
            told(None)
        else:
            audit.take(audit.maker.make(account), told)

    def note(self, account: ActivationCall) -> None:
        """Record a call without waiting until it is stored."""
        self.record(account, _left_out)

    def note_refusal(self, account: ActivationCall) -> None:
        """Record a peer that was refused before it made a call; one that merely left is not recorded."""
        if account.reason.startswith(REFUSING):
            self.note(account)


def _left_out(_error: Exception | None) -> None:
    """Do nothing, even if it could not be stored: the writer has counted it and raised the alarm."""


def _from_machine_on(facts: RequestFacts | None, count: int | None) -> tuple[Any, ...]:
    """The readable facts of the request's body, and the answer's count, as a record's last fields."""
    if facts is None:
        return (*_NO_FACTS, count)
    return (
        facts.machine_name or None,
        str(facts.cmid),
        str(facts.app_id),
        str(facts.act_id),
        facts.product,
        facts.license_status,
        facts.virtual_machine,
        facts.minutes_left,
        facts.required_count,
        count,
    )


_NO_FACTS: Final = (None,) * 9
