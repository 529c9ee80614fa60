"""Joining a KMS host's event 12290 to the gateway's record of the same request, so that the record gets its facts.

The event has the machine's name, the record its address. If DNS resolves the name, the record is the one from that
address with the same status that is nearest in time. If DNS does not know the name, a record is taken only if there is
no doubt: it must be the only one with that status within the window, and the event must be the only one too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from kmstwist.audit.asking.prepared import do, row, rows, value
from kmstwist.audit.asking.transactions import reading
from kmstwist.audit.events.model import Event
from kmstwist.audit.events.near import about
from kmstwist.audit.privacy import Keep, Privacy
from kmstwist.audit.records import Record, first_id_at
from kmstwist.audit.rows import from_values
from kmstwist.audit.sums import stored

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

# How far the two clocks may differ, in milliseconds: in a domain clocks are within 5 minutes, most within a second.
WINDOW = 10_000

# Returns the addresses of a machine's name; empty if DNS does not know it.
Resolver = Callable[[str], Sequence[str]]


class Join(Enum):
    """The result of trying to join an event: DOUBTFUL may become DONE when other events have found their records."""

    DONE = "done"
    DOUBTFUL = "doubtful"
    NO_RECORD = "no record"


class Joiner:
    """Joins events to the records of a store. `window` is the most the clocks may differ, in milliseconds."""

    def __init__(self, privacy: Privacy, resolve: Resolver, *, window: int = WINDOW) -> None:
        self._privacy = privacy
        self._resolve = resolve
        self.window = window
        self._addresses: dict[str, Sequence[str]] = {}

    def look_up(self, event: Event) -> None:
        """Ask DNS for the event's machine, unless it was asked before. Do not call this while the store is locked."""
        if event.machine and event.machine not in self._addresses:
            self._addresses[event.machine] = self._resolve(event.machine)

    def knows(self, event: Event) -> bool:
        """Whether DNS, which was asked before, knows the event's machine."""
        return bool(self._addresses.get(event.machine or ""))

    def has_records(self, store: Store, events: Sequence[Event]) -> bool:
        """Whether there is a record without a name near the time of any of the events."""
        first, last = min(event.at for event in events), max(event.at for event in events)
        between = {"first_id": first_id_at(first - self.window), "next_id": first_id_at(last + self.window + 1)}
        with reading(store) as reader:
            return row(reader, "any unnamed record", between) is not None

    def join(self, writer: Reader, event: Event, fingerprint: bytes) -> Join:
        """Join an event 12290 that is stored, with all others near its time, and has not been joined."""
        if (told := self._readable(writer, event)) is not None:
            self._note(writer, fingerprint, told)
            return Join.DONE
        found, sure = self._find(writer, event, fingerprint)
        if found is None:
            return Join.NO_RECORD
        if not sure:
            return Join.DOUBTFUL
        record = from_values(found)
        known = replace(
            record,
            machine=self._privacy.machine(event.machine),
            cmid=self._privacy.cmid(event.cmid),
            act_id=event.act_id,
            license_status=event.license_status,
            virtual_machine=event.virtual_machine,
            minutes_left=event.minutes_left,
            required_count=event.required_count,
        )
        _write_facts(writer, known)
        stored.replace(writer, record, known)
        self._note(writer, fingerprint, record.record_id)
        return Join.DONE

    def _note(self, writer: Reader, fingerprint: bytes, record_id: bytes) -> None:
        do(writer, "note an event's record", {"this": fingerprint, "its_id": record_id})

    def _readable(self, writer: Reader, event: Event) -> bytes | None:
        """The nearest record of a request that the gateway could read itself and that no event has been joined to."""
        cmid, machine = self._privacy.cmid(event.cmid), self._privacy.machine(event.machine)
        if cmid is None or machine is None or self._privacy.policy.cmid is Keep.TRUNCATE:
            return None
        told = {"cmid": cmid, "act_id": event.act_id, "machine": machine.lower()}
        found = row(writer, "a readable record", about(event, self.window) | told)
        return None if found is None else bytes(found[0])

    def may_have(self, writer: Reader, event: Event) -> bool:
        """Whether a record without a name may be about the event's request."""
        return row(writer, "two unnamed records", about(event, self.window)) is not None

    def _find(self, writer: Reader, event: Event, fingerprint: bytes) -> tuple[Sequence[Any] | None, bool]:
        """The likeliest record, if there is any, and whether it is certain."""
        near = about(event, self.window)
        addresses = [self._privacy.client(each) for each in self._addresses.get(event.machine or "", ())]
        if addresses:
            found = rows(writer, "two unnamed records from addresses", near | {"addresses": addresses})
            # A shortened address belongs to many machines.
            sure = self._privacy.policy.client is not Keep.TRUNCATE or len(found) == 1
        else:
            found = rows(writer, "two unnamed records", near)
            sure = len(found) == 1 and _is_alone(writer, near | {"this": fingerprint})
        return (found[0], sure) if found else (None, False)


def _is_alone(writer: Reader, near: dict[str, object]) -> bool:
    """Whether no other event without a gateway's record could be about the same record."""
    others = ("other events without a record", "other events with their own record")
    return not any(value(writer, statement, near) for statement in others)


def _write_facts(writer: Reader, record: Record) -> None:
    do(
        writer,
        "add an event's facts",
        {
            "its_id": record.record_id,
            "new_machine": record.machine,
            "new_cmid": record.cmid,
            "new_act_id": record.act_id,
            "new_license_status": record.license_status,
            "new_virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
            "new_minutes_left": record.minutes_left,
            "new_required_count": record.required_count,
        },
    )
