"""Sites to look at, in a separate process: `python -m tests.web.serving FOLDER MACHINES [hostile]`.

One each for a busy gateway, a degraded one, one that is down, an empty one, one without an audit, and a lab. Records
are the demonstration's, for fewer machines. It prints the addresses as JSON; then each line that it reads is an order:
`call NAME` records a call of that machine, `fail` takes the busy gateway's second host away.
"""

from __future__ import annotations

import json
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

from sqlalchemy import Engine
from twisted.internet import reactor as _reactor
from twisted.internet.stdio import StandardIO
from twisted.internet.task import Clock, LoopingCall
from twisted.protocols.basic import LineReceiver

from kmstwist.audit.schema import events
from kmstwist.audit.store import insert_batch
from kmstwist.audit.strangers import remember
from kmstwist.discovery.strangers import Stranger
from kmstwist.lab.demo.history import History, year
from kmstwist.telemetry.counters import BUCKETS, Counters, LabCount, LabState, Snapshot, UpstreamState
from kmstwist.web.site import StatusSite, make_site
from tests.audit.making import known, new_store

reactor: Any = _reactor

#: The sites' time, in seconds since 1970: half a minute past, so that a few seconds more do not change the minute.
NOW = datetime(2026, 6, 17, 9, 40, 30, tzinfo=UTC).timestamp()
#: Names that a machine may have.
HOSTILE = (
    "<script>document.title='taken'</script>",
    "\"><img src=x onerror=document.title='taken'>",
    "' OR 1=1 --{{7*7}}${7*7}",
    "\u202egnp.tsoh\u202c\u2066x",
    "\u05de\u05d7\u05e9\u05d1-1.example",
    "x" * 255,
    "../../../etc/passwd?a=1&b=2#c",
    "one\ntwo\tthree",
    # Letters whose lower case belongs to another letter, or is two letters.
    "\u212aELVIN-\u212a",
    "\u0130STANBUL-\u00df-\u1e9e",
    "\ufb01le-\u2028-\U0001f5a5\ufe0f",
    "%2e%2e%2f%00;--\\\\host\\share",
)
_UP, _HOURS, _STEP = 3 * 86_400, 6, 300


def _records(folder: Path, machines: int, hostile: bool) -> Engine:
    engine = new_store(folder)
    scenario = year(datetime.fromtimestamp(NOW, UTC)).scaled_to(machines)
    numbers = count()
    random = Random(7)

    def entropy(size: int) -> bytes:
        return random.randbytes(size - 4) + next(numbers).to_bytes(4, "big")

    History(scenario, lambda batch: insert_batch(engine, batch), entropy).run()
    now = int(NOW * 1000)
    found = [Stranger("lab.example", "old-kms.lab.example", 1688, 0, 0, ("10.20.9.9",))]
    remember(engine, "demo-gateway", "lab.example", found, now - 86_400_000)
    with engine.begin() as connection:
        event = {"fingerprint": b"0" * 16, "event_id": 12290, "computer": "KMS01", "machine": "lab-office-001"}
        connection.execute(events.insert().values(**event, at=now - 3_600_000, hresult=0, required_count=25))
    if hostile:
        insert_batch(engine, [known(now - 600_000 + at, name, "10.20.1.11") for at, name in enumerate(HOSTILE)])
    return engine


def _host(name: str, state: str = "up", **values: Any) -> UpstreamState:
    given: dict[str, Any] = {
        "idle": 2,
        "busy": int(state == "up"),
        "address": f"{name}:1688",
        "weight": 100,
        "effective_weight": 100.0,
        "changed": NOW - _UP,
        "checked": NOW - 12,
    }
    return UpstreamState(name, state, **(given | values))


_REFUSED = {"idle": 0, "busy": 0, "detail": "connection refused", "last_error": "connection refused"}
_KMS1 = _host("kms01.lab.example")
_KMS2 = _host("kms02.lab.example")
_KMS2_DOWN = _host("kms02.lab.example", "down", changed=NOW - 250, last_error_at=NOW - 12, **_REFUSED)
_KMS1_DOWN = _host("kms01.lab.example", "trying", changed=NOW - 180, last_error_at=NOW - 8, **_REFUSED)
_LAB = LabState(
    "LAB-0123-4567-89AB-CDEF",
    140,
    120,
    10080,
    12_345,
    12,
    [LabCount("Windows", 19, 50), LabCount("Office", 10, 10)],
)


class Place:
    """A site with its own clock, which has been watched for six hours already."""

    def __init__(self, snapshot: Snapshot, store: Callable[[], Engine] | None = None) -> None:
        self.snapshot = snapshot
        self._began: float | None = None
        self._at = NOW - _HOURS * 3600
        clock = Clock()
        self.site: StatusSite = make_site(lambda: self.snapshot, self._seconds, None, store, reactor=clock)
        port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{port.getHost().port}/"
        self._past(clock)
        ticking: Any = LoopingCall(clock.advance, 0.25)
        ticking.start(0.25)

    def _seconds(self) -> float:
        return self._at if self._began is None else NOW + time.monotonic() - self._began

    def _past(self, clock: Clock) -> None:
        """Let six hours pass; answers take their usual time, and once longer."""
        random = Random(3)
        self.site.begin()
        call = self.snapshot.counters.phases["call"]
        while self._at < NOW:
            slow = 4 if abs(self._at - (NOW - 2.2 * 3600)) < 1200 else 1
            for _ in range(int(random.gauss(30, 6)) if self.snapshot.counters.conversations["answered"] else 0):
                took = slow * (0.002 + random.expovariate(300))
                call.counts[bisect_left(BUCKETS, took)] += 1
                call.sum += took
            step = 5 if self._at > NOW - _STEP else _STEP
            self._at += step
            clock.advance(step)
        self._began = time.monotonic()


def _snapshot(mode: str, hosts: list[UpstreamState], **values: Any) -> Snapshot:
    counters = Counters()
    if hosts or mode == "lab":
        counters.conversations["answered"] = 4711
    return Snapshot(mode, NOW - _UP, counters, connections=3, upstreams=hosts, **values)


class Orders(LineReceiver):
    """The test's orders."""

    delimiter = b"\n"

    def __init__(self, busy: Place, engine: Engine) -> None:
        self._busy = busy
        self._engine = engine

    def lineReceived(self, line: bytes) -> None:
        """Carry out an order."""
        order, _, name = line.decode().partition(" ")
        if order == "call":
            insert_batch(self._engine, [known(int(NOW * 1000), name, "10.20.1.12")])
        elif order == "fail":
            self._busy.snapshot = _snapshot("gateway", [_KMS1, _KMS2_DOWN])

    def connectionLost(self, reason: Any = None) -> None:
        """The test is over."""
        reactor.stop()


def main() -> None:
    """Serve until the input ends."""
    folder, machines = Path(sys.argv[1]), int(sys.argv[2])
    for name in ("full", "empty", "lab"):
        (folder / name).mkdir()
    full = _records(folder / "full", machines, "hostile" in sys.argv)
    empty, lab = new_store(folder / "empty"), new_store(folder / "lab")
    insert_batch(lab, [known(int(NOW * 1000) - at * 1000, f"LAB-PC-{at:04}", "127.0.0.1") for at in range(1, 20)])
    strange = {"lab.example": ["old-kms.lab.example:1688"]}
    places = {
        "busy": Place(_snapshot("gateway", [_KMS1, _KMS2]), lambda: full),
        "degraded": Place(_snapshot("gateway", [_KMS1, _KMS2_DOWN], strangers=strange), lambda: full),
        "down": Place(_snapshot("gateway", [_KMS1_DOWN, _KMS2_DOWN]), lambda: full),
        "empty": Place(_snapshot("gateway", []), lambda: empty),
        "off": Place(_snapshot("gateway", [_KMS1])),
        "lab": Place(_snapshot("lab", [], lab=_LAB), lambda: lab),
    }
    sys.stdout.write(json.dumps({name: place.url for name, place in places.items()}) + "\n")
    sys.stdout.flush()
    StandardIO(cast(Any, Orders(places["busy"], full)))
    reactor.run()


if __name__ == "__main__":
    main()
