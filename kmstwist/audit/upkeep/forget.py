"""Forgetting one machine: everything the store holds about it goes, and its bytes are overwritten.

A machine is named by its name, its CMID or its address. The hourly totals stay: they are about nobody. How many calls
of each hour were forgotten is noted, so that `verify` knows why an hour has fewer records than its sum says.

Overwriting deleted rows is not enough: SQLite leaves copies of rows in pages that it once split. So a store that is not
large is rewritten as a whole; for a large one, which would block the server's records too long, that is left to the
administrator.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kmstwist.audit.asking.facts import noted, put_fact
from kmstwist.audit.asking.prepared import do, rows, sqlite_of
from kmstwist.audit.asking.transactions import is_embedded, outside, reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import Keep, Privacy
from kmstwist.audit.records import Record
from kmstwist.audit.rows import from_values
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.hourly_activity import HOURLY_ACTIVITY
from kmstwist.audit.upkeep.retention import rewrite, size_in_use

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

# A fact about the store: how many calls of each hour were forgotten.
FORGOTTEN = "forgotten"
# Records deleted at a time.
STEP = 1000
#: Bytes up to which a store is rewritten at once: a second or two of a slow disk.
REWRITTEN_UP_TO = 256 << 20
#: The most addresses, or machines, that are worth listing.
TOLD = 10


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows of each kind went, and what is left to do.

    `wiped` says that the bytes are gone from the unused parts of the store's file too. `addresses` are the machine's
    addresses for which calls without a machine's name are still kept; `machines_there` are the names of machines whose
    address was asked for, and which are kept: a record with a name belongs to that name. Neither has more than one name
    above `TOLD`.
    """

    records: int
    events: int
    machines: int
    failures: int
    wiped: bool = False
    addresses: tuple[str, ...] = ()
    machines_there: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether no trace of the machine was found."""
        return not (self.records or self.events or self.machines or self.failures)


def forget(store: Store, machine: str, privacy: Privacy) -> Forgotten:
    """Remove a machine's traces: `machine` is its name, CMID or address, as an administrator knows it.

    It is searched in the form in which `privacy` stored it. Truncated values belong to many machines and cannot be
    distinguished, so they are left alone. Blocks.
    """
    names = _as_stored(machine, privacy)
    with writing(store) as writer:
        if (driver := sqlite_of(writer)) is not None:
            driver.execute("PRAGMA secure_delete=ON")
        forgotten = _forget(writer, names)
    if not forgotten.nothing and is_embedded(store):
        forgotten = replace(forgotten, wiped=_wipe(store))
    return forgotten


def _wipe(store: Store) -> bool:
    """Rewrite the store if it is not large. Returns whether nothing deleted is left in its files."""
    with reading(store) as reader:
        size = size_in_use(reader)
    if size <= REWRITTEN_UP_TO:
        return rewrite(store)
    with outside(store) as driver:
        assert driver is not None, "it is a file"
        # The log still holds the pages as they were.
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return False


def _as_stored(machine: str, privacy: Privacy) -> set[str]:
    policy = privacy.policy
    found = {machine.lower()}
    for keep, stored in (
        (policy.machine, privacy.machine(machine)),
        (policy.cmid, privacy.cmid(machine)),
        (policy.client, privacy.address(machine, policy.client)),
    ):
        if keep is Keep.HASH and stored is not None:
            found.add(stored)
    return found


def _forget(writer: Reader, names: set[str]) -> Forgotten:
    # A machine that is given by one of its names is forgotten under all of them.
    known = names | {row[0] for row in rows(writer, "machines of CMIDs", {"its_names": list(names)})}
    addresses, number = _forget_records(writer, known)
    events = do(writer, "delete events with names or CMIDs", {"its_names": list(known), "cmid_names": list(names)})
    gone = {
        each: do(writer, f"{each.name}: forget", {"its_names": list(known)}) for each in SUMS if each.names_machines
    }
    return Forgotten(
        records=number,
        events=events,
        machines=sum(rows for each, rows in gone.items() if not each.hourly),
        failures=sum(rows for each, rows in gone.items() if each.hourly),
        addresses=_machines(writer, "machines known by addresses", addresses),
        machines_there=_machines(writer, "machines at addresses", names),
    )


def _machines(reader: Reader, statement: str, names: set[str]) -> tuple[str, ...]:
    return tuple(row[0] for row in rows(reader, statement, {"its_names": list(names), "number": TOLD + 1}))


def _forget_records(writer: Reader, known: set[str]) -> tuple[set[str], int]:
    """Delete the records of machines known by these names; the addresses they came from, and how many they were."""
    addresses: set[str] = set()
    hours: Counter[int] = Counter()
    number = 0
    # A record that names its machine belongs to that name, whoever had the address at the time.
    for its_own in ("places of records with names", "places of records without a name from addresses"):
        # Searched once, which may take a while, and read in steps.
        places = sorted(seq for (seq,) in rows(writer, its_own, {"its_names": list(known)}))
        for begin in range(0, len(places), STEP):
            these = {"seqs": places[begin : begin + STEP]}
            found = rows(writer, "records at places", these)
            do(writer, "delete records", these)
            number += len(found)
            for record in map(_record, found):
                addresses.add(record.client)
                if (row := HOURLY_ACTIVITY.row(record)) is not None:
                    hours[row["hour"]] += row["calls"]
    if hours:
        put_fact(writer, FORGOTTEN, json.dumps(forgotten_calls(writer) + hours))
    return addresses, number


def forgotten_calls(reader: Reader) -> Counter[int]:
    """How many calls of each hour (since 1970) were forgotten: they are in the sums and no longer in the records."""
    return noted(reader, FORGOTTEN, _counted, Counter())


def _counted(text: str) -> Counter[int]:
    return Counter({int(hour): int(calls) for hour, calls in json.loads(text).items()})


def _record(row: Sequence[Any]) -> Record:
    """A record behind its `seq`. Raises StoreError."""
    try:
        return from_values(row[1:])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            "one of its records has values that no record can have",
            "kmstwist audit verify names them; restore it from a backup",
        ) from error
