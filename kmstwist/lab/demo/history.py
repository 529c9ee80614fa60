"""A fleet's year as a gateway's audit would have recorded it.

Machines, hosts, outages and answers come from the fleet; only things that a simulation in virtual time lacks are added:
addresses (in networks of 200 machines) and how long an answer took. Every machine's name says that it is the lab's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.client import Outcome
from kmstwist.lab.fleet.member import Member
from kmstwist.lab.fleet.scenario import Scenario, parse
from kmstwist.lab.fleet.simulation import Fleet
from kmstwist.lab.fleet.world import repeatable
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus

#: The group whose requests the gateway cannot read, as with real clients.
OPAQUE = "lab-dmz"
#: Records that are given on together.
BATCH = 40_000
#: Machines of one network.
_NETWORK = 200
_NO_HOST = int(Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE)


def year(ends: datetime) -> Scenario:
    """The scenario, with its last day ending at a moment."""
    text = resources.files("kmstwist.lab.demo").joinpath("year.toml").read_text(encoding="utf-8")
    scenario = parse(tomllib.loads(text), "the demonstration's year")
    return scenario.model_copy(update={"start": ends.astimezone(UTC) - timedelta(days=scenario.days)})


class History:
    """Runs the scenario and passes its records on, in batches, in the order of time.

    `entropy` returns random bytes for the records' ids.
    """

    def __init__(
        self, scenario: Scenario, take: Callable[[list[Record]], object], entropy: Callable[[int], bytes]
    ) -> None:
        self._fleet = Fleet(scenario, self._watch)
        self._take = take
        self._ids = RecordIds(entropy)
        self._random = repeatable(scenario.seed)
        self._gateway = scenario.gateways[0].name
        self._batch: list[Record] = []
        self._hosts = {host.lab.host_id: name for name, host in self._fleet.world.hosts.items()}
        self._first_host = next(iter(self._hosts.values()))
        self._away = self._fleet.world.gateways[self._gateway].away
        self._addresses: dict[str, str] = {}
        #: What is the same in all records of a licence.
        self._facts: dict[int, dict[str, Any]] = {}
        #: What each licence was before its last call.
        self._licensed: set[int] = set()

    @property
    def members(self) -> list[Member]:
        """Every machine's licences as they are, once the year has passed."""
        return self._fleet.members

    @property
    def addresses(self) -> Mapping[str, str]:
        """The address of each machine that called."""
        return self._addresses

    def run(self, progress: Callable[[float], None] | None = None) -> None:
        """Let the year pass."""
        self._fleet.run(progress)
        self._give()

    def _give(self) -> None:
        if self._batch:
            self._take(self._batch)
            self._batch = []

    def _watch(self, member: Member, now: float, outcome: Outcome) -> None:
        key = id(member)
        was_licensed = key in self._licensed
        if outcome.status is LicenseStatus.LICENSED:
            self._licensed.add(key)
        else:
            self._licensed.discard(key)
        if outcome.hresult == _NO_HOST:
            if member.site.link_down.holds(now) or self._away.holds(now):
                # The attempt did not reach the gateway.
                return
            self._batch.append(self._record(member, now, was_licensed, reason=Reason.UPSTREAM_REFUSED))
        else:
            self._batch.append(self._record(member, now, was_licensed, outcome))
        if len(self._batch) >= BATCH:
            self._give()

    def _record(
        self,
        member: Member,
        now: float,
        was_licensed: bool,
        outcome: Outcome | None = None,
        reason: Reason = Reason.OK,
    ) -> Record:
        lab = member.lab
        at = int(now * 1000)
        # A count that is too low comes in a good answer: the client's conclusion is not a status of the host.
        status = None if outcome is None else 0 if outcome.count is not None else outcome.hresult
        facts = self._facts.get(id(lab))
        if facts is None:
            facts = self._facts[id(lab)] = self._known(member)
        values = {
            **facts,
            "record_id": self._ids.make(at),
            "at": at,
            "reason": reason,
            "upstream": self._hosts.get(lab.host_id or "", self._first_host),
            "hresult": status,
            "fault": int(FaultStatus.SERVER_UNAVAILABLE) if outcome is None else None,
            "detail": "no KMS host could be reached" if outcome is None else "",
            "phases": Phases(receive=0.4, answer=2.0 + self._random.expovariate(0.6)),
            "bytes_out": 268 if status == 0 else 0,
        }
        if facts["machine"] is not None:
            values["license_status"] = int(LicenseStatus.LICENSED if was_licensed else LicenseStatus.OOB_GRACE)
            values["count"] = None if outcome is None else outcome.count
        return Record(**values)

    def _known(self, member: Member) -> dict[str, Any]:
        lab = member.lab
        values: dict[str, Any] = {
            "gateway": self._gateway,
            "client": self._address(lab.machine_name),
            "version": 6,
            "bytes_in": 260,
            "machine": None,
        }
        if member.group.name != OPAQUE:
            values |= {
                "machine": lab.machine_name,
                "cmid": str(lab.cmid),
                "app_id": str(lab.product.app_id),
                "act_id": str(activation_id(lab.product.name)),
                "product": lab.product.name,
                "virtual_machine": lab.virtual_machine,
                "required_count": lab.required_count,
            }
        return values

    def _address(self, name: str) -> str:
        address = self._addresses.get(name)
        if address is None:
            network, host = divmod(len(self._addresses), _NETWORK)
            address = self._addresses[name] = f"10.{20 + network // 16}.{network % 16 + 1}.{host + 10}"
        return address
