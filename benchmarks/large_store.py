"""A store as a large organisation has it: a year of calls by many machines, networks, products and hosts, from a seed.

    python -m benchmarks.large_store /tmp/large.sqlite --records 1000000 --machines 100000

The same arguments make the same store. Calls are stored as the server stores them, so that all its sums are there too.
Half the machines' requests can be read, as in the lab, the others are opaque, as in front of a genuine host: those are
told apart by their addresses. Of 50 readable machines one has another's CMID; of 33 calls one is refused, of 500 one
gets no answer; a tenth of the machines has been silent for the last three months.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.audit.store import insert_batch
from kmstwist.reasons import Reason

#: The moment at which every such store ends, in milliseconds since 1970: the first of January 2025.
END_MS = 1_735_689_600_000
DAY_MS = 86_400_000
BATCH = 20_000
WINDOWS = "55c92734-d682-4d71-983e-d6ec3f16059f"
OFFICE = "0ff1ce15-a989-479d-af46-f275c6370663"
#: Status codes that a host refuses with, and how often among refusals.
REFUSALS = (0xC004F042, 0xC004F042, 0xC004F042, 0xC004F06C, 0xC004F041)
#: A machine in so many is silent for the last quarter of the year.
SILENT = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How large the organisation is."""

    records: int = 1_000_000
    machines: int = 100_000
    networks: int = 3_000
    products: int = 200
    hosts: int = 40
    seed: int = 1


def generate(size: Size) -> Iterator[Record]:
    """The records in the order of time. Every machine calls where there are as many records as machines."""
    chance = random.Random(size.seed)
    ids = RecordIds(chance.randbytes)
    cmids = [str(UUID(int=chance.getrandbits(128))) for _ in range(size.machines)]
    names = [
        f"Windows 11 Enterprise, edition {n}" if n % 4 else f"Office LTSC, edition {n}" for n in range(size.products)
    ]
    act_ids = [str(UUID(int=chance.getrandbits(128))) for _ in names]
    order = list(range(size.machines))
    chance.shuffle(order)
    year = 365 * DAY_MS
    for at in range(size.records):
        when = END_MS - year + year * at // size.records
        machine = order[at % size.machines] if at < size.machines else chance.randrange(size.machines)
        if machine % SILENT == 0 and when > END_MS - year // 4:
            machine += 1
        machine %= size.machines
        network = machine % size.networks
        answered = chance.random() > 0.002
        hresult = (0 if chance.random() > 0.03 else chance.choice(REFUSALS)) if answered else None
        record = Record(
            record_id=ids.make(when),
            at=when,
            gateway=f"gateway{network % 3}",
            client=f"10.{network >> 8}.{network & 255}.{1 + machine // size.networks % 250}",
            reason=Reason.OK if answered else Reason.UPSTREAM_TIMEOUT,
            version=6,
            upstream=f"kms{machine % size.hosts:02}.example.com" if answered else None,
            hresult=hresult,
            phases=Phases(0.4, chance.random() * 40),
            bytes_in=260,
            bytes_out=190,
        )
        if machine % 2:
            number = machine // 2 % size.products
            record.machine = f"pc-{machine:06}.corp.example.com"
            record.cmid = cmids[machine - machine % 100 if machine % 50 == 1 else machine]
            record.app_id = WINDOWS if number % 4 else OFFICE
            record.act_id = act_ids[number]
            record.product = names[number]
            record.license_status = 1 if at >= size.machines else 2
            record.virtual_machine = machine % 5 == 0
            record.minutes_left = 250_000
            record.required_count = 25 if number % 4 else 5
            record.count = 50
        yield record


def fill(path: Path, size: Size) -> None:
    """Make the store."""
    engine = open_engine(str(path))
    try:
        migrate(engine)
        batch: list[Record] = []
        for record in generate(size):
            batch.append(record)
            if len(batch) == BATCH:
                insert_batch(engine, batch)
                batch = []
        insert_batch(engine, batch)
    finally:
        engine.dispose()


def add_size(parser: argparse.ArgumentParser) -> None:
    """The options that say how large."""
    for name in ("records", "machines", "networks", "products", "hosts", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name))


def size_of(given: argparse.Namespace) -> Size:
    """What those options say."""
    return Size(given.records, given.machines, given.networks, given.products, given.hosts, given.seed)


def make() -> None:
    """Make a store where it is wanted. Not called `main`: it measures nothing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path)
    add_size(parser)
    given = parser.parse_args()
    if given.path.exists():
        parser.error(f"{given.path} exists already")
    fill(given.path, size_of(given))


if __name__ == "__main__":
    make()
