"""Requests that only the KMS host's events report: each gets its own record, so that every report includes it.

A site may have no gateway yet, or machines that ask its host directly. Such a record names no gateway and no address;
its id is computed from the event, so that the same event makes the same record. If a gateway's record may be about the
same request, no such record is made, so that a request counts once; if the gateway's record turns up later, the other
one is removed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmstwist.audit.asking.prepared import do, do_for_each, row, rows, sqlite_of, value
from kmstwist.audit.events.model import Event
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.privacy import Privacy
from kmstwist.audit.records import FROM_EVENT, NO_GATEWAY, Record, first_id_at
from kmstwist.audit.rows import from_values, to_row
from kmstwist.audit.sums import stored
from kmstwist.reasons import Reason

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

#: The most times of gateways' calls that are held in memory, for one batch of events.
MOST_TIMES = 50_000


@dataclass(frozen=True, slots=True)
class Told:
    """An event 12290 in the store: its fingerprint, what it says, and the record that it belongs to."""

    fingerprint: bytes
    at: int
    computer: str
    record_id: bytes | None
    event: Event

    @property
    def own_id(self) -> bytes:
        """The id of the record made from this event if nothing else is known of its request: a UUID of version 7."""
        entropy = int.from_bytes(hashlib.blake2b(self.fingerprint, digest_size=10).digest(), "big")
        value = (self.at & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (entropy >> 68) << 64
        return (value | 0b10 << 62 | entropy & ((1 << 62) - 1)).to_bytes(16, "big")

    @property
    def has_own(self) -> bool:
        """Whether its record is the one made from it."""
        return self.record_id is not None and self.record_id == self.own_id


def record_of(told: Told, privacy: Privacy) -> Record | None:
    """The record of a request that only an event reports.

    None if machines' names are not kept: nothing would distinguish the machines.
    """
    event = told.event
    machine = privacy.machine(event.machine)
    if machine is None:
        return None
    return Record(
        told.own_id,
        told.at,
        NO_GATEWAY,
        "",
        Reason.OK,
        version=FROM_EVENT,
        upstream=told.computer or None,
        hresult=event.hresult,
        machine=machine,
        cmid=privacy.cmid(event.cmid),
        act_id=event.act_id,
        license_status=event.license_status,
        virtual_machine=event.virtual_machine,
        minutes_left=event.minutes_left,
        required_count=event.required_count,
    )


def count_alone(writer: Reader, events: Sequence[Told], privacy: Privacy) -> int:
    """Make a record for each of these stored events, whose requests no gateway has. Returns how many have one now."""
    made = [(told, record) for told in events if (record := record_of(told, privacy)) is not None]
    _correct(writer, [record for told, record in made if told.has_own])
    fresh = [(told, record) for told, record in made if not told.has_own]
    add(writer, [record for _, record in fresh])
    own = [{"this": told.fingerprint, "its_id": record.record_id} for told, record in fresh]
    do_for_each(writer, "note an event's record", own)
    return len(made)


def add(writer: Reader, records: Sequence[Record]) -> None:
    """Store records and add them to the sums. An event may have been deleted for its age while its record was not."""
    if not records:
        return
    there = _there(writer, [record.record_id for record in records])
    fresh = [record for record in records if record.record_id not in there]
    do_for_each(writer, "add records that are missing", [to_row(record) for record in fresh])
    stored.add(writer, fresh)


def _there(writer: Reader, ids: Sequence[bytes]) -> set[bytes]:
    """Which of these ids some of the stored records have."""
    # Ids begin with their time: if a log is read in order, there are few records between the first and the last.
    most = 2 * len(ids)
    between = {"first_id": min(ids), "last_id": max(ids), "most": most + 1}
    found = {bytes(each) for (each,) in rows(writer, "ids of records between", between)}
    if len(found) <= most:
        return found.intersection(ids)
    if sqlite_of(writer) is None:
        return {bytes(each) for (each,) in rows(writer, "ids of records", {"record_ids": list(ids)})}
    # One by one is what SQLite does in any case, and a list of a thousand takes long to write down.
    return {each for each in ids if row(writer, "id of a record", {"its_id": each}) is not None}


def _correct(writer: Reader, records: Sequence[Record]) -> None:
    """Update stored records with what is known by now, such as the host that another format names."""
    for new in records:
        found = row(writer, "a record", {"its_id": new.record_id})
        if found is not None and (old := from_values(found)) != new:
            changes = {f"new_{name}": each for name, each in to_row(new).items()}
            do(writer, "change a record", {"its_id": new.record_id, **changes})
            stored.replace(writer, old, new)


def uncount(writer: Reader, told: Told) -> None:
    """Remove the record made from an event, if there is one: its request is, or may be, in a gateway's record."""
    if not told.has_own:
        return
    found = row(writer, "a record", {"its_id": told.own_id})
    if found is not None:
        do(writer, "delete a record", {"its_id": told.own_id})
        stored.remove(writer, from_values(found))
    do(writer, "forget an event's own record", {"this": told.fingerprint, "its_id": told.own_id})


class GatewayTimes:
    """When gateways had calls, from `first` to `last` (milliseconds since 1970), for a batch of events.

    It looks at the hours first: most stores have either no gateway's calls at a host's times, or one in every hour.
    """

    def __init__(self, reader: Reader, first: int, last: int) -> None:
        self._times: list[int] = []
        #: Whether there are too many to look at one by one.
        self._many = False
        hours = {"first": first // HOUR_MS, "last": last // HOUR_MS}
        if value(reader, "an hour of gateways' calls", hours) is not None:
            times = {"first_id": first_id_at(first), "next_id": first_id_at(last + 1), "most": MOST_TIMES + 1}
            self._times = sorted(at for (at,) in rows(reader, "times of gateways' calls", times))
            self._many = len(self._times) > MOST_TIMES

    def any_within(self, first: int, last: int) -> bool:
        """Whether a gateway had a call from `first` to `last`, or may have had one, if there are too many to know."""
        at = bisect_left(self._times, first)
        return self._many or (at < len(self._times) and self._times[at] <= last)
