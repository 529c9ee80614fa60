"""The lab's KMS host: counts, clock check and intervals as Microsoft documents them, under the lab's own keys.

This is pure: no socket, no clock, no disk. `answer` takes a message from the wire; `decide` takes a request without any
cryptography, for simulated fleets. `take_changes` returns the state that must survive a restart, and `memory` takes it
back; `kmstwist.lab.store` keeps it.

How it counts: for each application (Windows; Office) the host remembers the client machine ids that asked in the last
30 days; of these the latest, at most twice the largest N-Policy asked for, and at most 50. Their number is the count.
So a host with only servers or Office counts to 10. Because of this limit a request costs the same with 5 clients as
with 100,000.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from kmstwist.kms import filetime
from kmstwist.kms.activation import ActivationAnswer
from kmstwist.kms.catalogue import Product, products
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import MessageError, Request, Response
from kmstwist.kms.status import Status
from kmstwist.kms.version import Version
from kmstwist.lab.errors import NotOurs
from kmstwist.lab.host_memory import ApplicationMemory, ClientRecord, Counters, HostEvent, Memory
from kmstwist.lab.host_settings import (
    DEFAULT_ACTIVATION_INTERVAL,
    DEFAULT_RENEWAL_INTERVAL,
    MAX_INTERVAL,
    MIN_INTERVAL,
)
from kmstwist.lab.keys import LabKey
from kmstwist.reasons import Reason

if TYPE_CHECKING:
    from kmstwist.lab.cipher import LabCipher

COUNT_PERIOD = 30 * 86_400
"""Seconds for which a client counts after it last asked."""
MAX_COUNT = 50
MAX_CLOCK_DIFFERENCE = 4 * 3600
"""Seconds that a client's clock may differ from the host's."""

MAX_UNSAVED_EVENTS = 5000
"""Events that a host keeps until they are taken; of more, the oldest are dropped."""

_OK = int(Status.S_OK)
_CLOCK = int(Status.SL_E_VL_INVALID_TIMESTAMP)
_NOT_COVERED = int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH)
_BAD_DATA = int(Status.E_INVALID_DATA)
_CLOCK_TICKS = MAX_CLOCK_DIFFERENCE * filetime.TICKS_PER_SECOND


class _Application:
    """The clients of one application that count, the one that asked longest ago first."""

    __slots__ = ("clients", "largest")

    def __init__(self, largest: int = 1) -> None:
        self.clients: OrderedDict[UUID, ClientRecord] = OrderedDict()
        self.largest = largest

    def note(self, client: ClientRecord) -> int:
        """Count a client that asks now. Returns the count including it."""
        self.forget_before(client.last_seen - COUNT_PERIOD)
        self.remember(client)
        return len(self.clients)

    def remember(self, client: ClientRecord) -> None:
        """Keep a client as the latest, and drop others beyond the limit."""
        self.largest = max(self.largest, client.required_count)
        self.clients[client.cmid] = client
        self.clients.move_to_end(client.cmid)
        while len(self.clients) > self.cap:
            self.clients.popitem(last=False)

    @property
    def cap(self) -> int:
        """The most clients that are counted."""
        return min(MAX_COUNT, 2 * self.largest)

    def forget_before(self, moment: float) -> None:
        """Drop the clients that asked before a moment; with the last of them, the N-Policy they asked for."""
        clients = self.clients
        while clients and next(iter(clients.values())).last_seen < moment:
            clients.popitem(last=False)
        if not clients:
            self.largest = 1


class LabHost:
    """A lab host that answers activation requests.

    `key` names and keys the host, `now` gives Unix seconds, `random` unpredictable bytes of a given number (for the
    answers' IVs), `covered` the products its host key covers (all of the catalogue by default), `memory` what an
    earlier run remembered; `logs` whether it notes an event for each request. Intervals are minutes, 15 to 43,200;
    `ValueError` for others, here and when they are set later.
    """

    def __init__(
        self,
        key: LabKey,
        *,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        covered: Iterable[Product] | None = None,
        memory: Memory | None = None,
        logs: bool = False,
        activation_interval: int = DEFAULT_ACTIVATION_INTERVAL,
        renewal_interval: int = DEFAULT_RENEWAL_INTERVAL,
    ) -> None:
        self._key = key
        self._random = random
        self._now = now
        self._covered = {
            activation_id(product.name): product for product in (products() if covered is None else covered)
        }
        self._activation_interval = _interval(activation_interval, "activation")
        self._renewal_interval = _interval(renewal_interval, "renewal")
        self._applications: dict[UUID, _Application] = {}
        self._changed: set[UUID] = set()
        self._counters_changed = False
        self._events: deque[HostEvent] | None = deque(maxlen=MAX_UNSAVED_EVENTS) if logs else None
        self.counters = Counters()
        if memory is not None:
            self._recall(memory)

    @cached_property
    def host_id(self) -> str:
        """The host's stable name."""
        return self._key.host_id

    @cached_property
    def _cipher(self) -> LabCipher:
        # Imported here: a server listens sooner without it, and a fleet that sends no messages has no use for it.
        from kmstwist.lab.cipher import LabCipher

        return LabCipher(self._key, self._random)

    def prepare(self) -> None:
        """Load and key the cipher now, for which the first message would wait otherwise."""
        _ = self.host_id, self._cipher

    @property
    def activation_interval(self) -> int:
        """Minutes after which a client that is not activated asks again."""
        return self._activation_interval

    @activation_interval.setter
    def activation_interval(self, minutes: int) -> None:
        self._activation_interval = _interval(minutes, "activation")

    @property
    def renewal_interval(self) -> int:
        """Minutes after which an activated client renews."""
        return self._renewal_interval

    @renewal_interval.setter
    def renewal_interval(self, minutes: int) -> None:
        self._renewal_interval = _interval(minutes, "renewal")

    def answer(self, message: bytes, client: str = "") -> ActivationAnswer:
        """Answer a whole message; `client` is the address that sent it, for the log's sentence.

        It never raises: a message that cannot be read is answered with `0x8007000D`.
        """
        try:
            request = self._cipher.open_request(message)
        except NotOurs:
            sender = client or "a client"
            return self._unreadable(
                Reason.LAB_FOREIGN_MESSAGE,
                f"{sender} sent a V{Version.of(message).major} request that is not the lab's: is it a real Windows or "
                "Office client? The lab grants no licences; configure an upstream.",
            )
        except MessageError as error:
            return self._unreadable(Reason.LAB_BAD_MESSAGE, f"{client or 'a client'} sent no KMS request: {error}")
        hresult, response = self.decide(request)
        product = self._covered.get(request.act_id)
        facts = request.facts(product.name if product else None)
        if response is None:
            reason, detail = self._why(hresult, request)
            return ActivationAnswer(hresult, facts=facts, reason=reason, detail=detail)
        return ActivationAnswer(hresult, self._cipher.seal_response(response), facts=facts, count=response.count)

    def decide(self, request: Request) -> tuple[int, Response | None]:
        """The answer to a readable request: (0, response), or a status code and None.

        `0xC004F042` if the product is not covered, `0xC004F06C` if the clocks differ by more than 4 hours. A refused
        client does not count.
        """
        now = self._now()
        answer = self._decided(request, now)
        if self._events is not None:
            self._events.append(HostEvent(now, answer[0], request))
        return answer

    def _decided(self, request: Request, now: float) -> tuple[int, Response | None]:
        counters = self.counters
        counters.total += 1
        self._counters_changed = True
        if (status := request.license_status) in counters.by_status:
            counters.by_status[status] += 1
        product = self._covered.get(request.act_id)
        if product is None or product.app_id != request.app_id:
            counters.failed += 1
            return _NOT_COVERED, None
        if abs(request.client_time - filetime.from_unix(now)) > _CLOCK_TICKS:
            counters.failed += 1
            return _CLOCK, None
        application = self._applications.get(request.app_id)
        if application is None:
            application = self._applications[request.app_id] = _Application()
        self._changed.add(request.app_id)
        count = application.note(ClientRecord(request.cmid, now, request.machine_name, request.required_count))
        return _OK, Response(
            version=request.version,
            host_id=self.host_id,
            cmid=request.cmid,
            client_time=request.client_time,
            count=count,
            activation_interval=self._activation_interval,
            renewal_interval=self._renewal_interval,
        )

    def count(self, app_id: UUID) -> int:
        """The clients of an application that count now."""
        application = self._applications.get(app_id)
        if application is None:
            return 0
        application.forget_before(self._now() - COUNT_PERIOD)
        return len(application.clients)

    def most(self, app_id: UUID) -> int:
        """The most clients of an application that count at present: twice the largest N-Policy asked for, or 50."""
        application = self._applications.get(app_id)
        return application.cap if application else 0

    @property
    def covered(self) -> tuple[Product, ...]:
        """The products that its host key covers."""
        return tuple(self._covered.values())

    def clients(self, app_id: UUID) -> tuple[ClientRecord, ...]:
        """The clients of an application that the host remembers, the one that asked longest ago first."""
        application = self._applications.get(app_id)
        return tuple(application.clients.values()) if application else ()

    def take_changes(self) -> Memory | None:
        """The changes since the last call, as an independent copy to save; None without changes.

        It holds each changed application whole, at most 50 clients, so the cost of saving is bounded.
        """
        if not self._counters_changed:
            return None
        applications = {
            app_id: ApplicationMemory(application.largest, tuple(application.clients.values()))
            for app_id, application in self._applications.items()
            if app_id in self._changed
        }
        changes = Memory(applications, self.counters.copy(), tuple(self._events or ()))
        self._changed.clear()
        if self._events is not None:
            self._events.clear()
        self._counters_changed = False
        return changes

    def return_changes(self, changes: Memory) -> None:
        """Take changes back that could not be saved, so that the next `take_changes` has them again."""
        self._changed.update(changes.applications)
        self._counters_changed = True
        if self._events is not None:
            newer = list(self._events)
            self._events.clear()
            self._events.extend([*changes.events, *newer])

    def _recall(self, memory: Memory) -> None:
        now = self._now()
        for app_id, remembered in memory.applications.items():
            application = self._applications[app_id] = _Application(remembered.largest_required)
            for record in sorted(remembered.clients, key=lambda record: record.last_seen):
                # If the clock was set back since, a client would count beyond its 30 days.
                application.remember(record if record.last_seen <= now else replace(record, last_seen=now))
        self.counters = memory.counters.copy()

    def _unreadable(self, reason: Reason, detail: str) -> ActivationAnswer:
        self.counters.total += 1
        self.counters.failed += 1
        self._counters_changed = True
        return ActivationAnswer(_BAD_DATA, reason=reason, detail=detail)

    def _why(self, hresult: int, request: Request) -> tuple[Reason, str]:
        if hresult == _CLOCK:
            seconds = filetime.to_unix(request.client_time) - self._now()
            hours, minutes = divmod(round(abs(seconds) / 60), 60)
            side = "ahead of" if seconds > 0 else "behind"
            return (
                Reason.LAB_CLOCK,
                f"the clock of {request.machine_name} is {hours} h {minutes} min {side} the host's; 4 hours are "
                f"allowed",
            )
        return (
            Reason.LAB_UNKNOWN_PRODUCT,
            f"{request.machine_name} asked for product {request.act_id}, which this lab host does not cover",
        )


def _interval(minutes: int, what: str) -> int:
    if not MIN_INTERVAL <= minutes <= MAX_INTERVAL:
        raise ValueError(
            f"the {what} interval of {minutes} minutes is not from {MIN_INTERVAL} to {MAX_INTERVAL} (30 days)"
        )
    return minutes
