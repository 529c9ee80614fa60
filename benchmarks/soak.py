"""What a server has before, during and after a long time at full rate: memory, descriptors and threads.

    python -m benchmarks soak [--minutes 60] [--system lab] [--clients 64] [--addresses 100000] [--machines 100000]

A minute by default: an hour is asked for. Each process of the server has a row of its own: the server (with workers,
the supervisor, and each worker), and the process aside that commits the audit's records while many come. Rates mean
something where the machine is otherwise idle; memory and descriptors everywhere.

What a process has of its own is judged from a quarter of the time on: by then the caches are full. From half an hour on
there is a verdict; the exit status is 1 if a process grows or keeps descriptors.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import median
from uuid import UUID

from benchmarks import harness
from benchmarks.systems import SYSTEMS, Running, free_port, is_aside, prepare, started
from kmstwist.kms import interface
from kmstwist.kms.filetime import from_unix
from kmstwist.kms.messages import MAC_SIZE, Request
from kmstwist.kms.version import Version
from kmstwist.rpc import Request as RequestPdu
from kmstwist.rpc import encode

#: Conversations of one run of the load generator.
_EACH = 5000
#: Seconds until a server has opened its store and its site.
_SETTLING = 6.0
#: Rows while it is under load, and the seconds between two at least.
_ROWS, _LEAST = 12, 5.0
#: Seconds of rest by default: surplus connections to a host end after 30 to 60, a process aside after 60 without load.
_REST = 90.0
#: The CMID in whose place the number of a machine is written.
_CMID = UUID("6863616d-6e69-2765-7320-6e756d626572")
#: The part of the time under load after which caches have filled, and the minutes of load that make a verdict.
_WARM, _VERDICT = 0.25, 30.0
#: MiB an hour that a process may grow by: Python touches the last MiB that it took for small objects page by page.
_GROWTH = 0.5
#: Descriptors that a server may have more when all is at rest than before: of the store, once records were made.
_MORE = 2
_DONE = re.compile(r"done (\d+) errors (\d+) ")


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients do: how many at once, from how many addresses and of how many machines (0: one of each)."""

    clients: int
    addresses: int
    machines: int

    def begin(self, tools: Path, port: int, first: int) -> subprocess.Popen[str]:
        """Hold `_EACH` conversations, of which `first` is the number of the first."""
        request, offset = tools / "req.bin", 0
        if self.machines:
            request = tools / "machine.bin"
            request.write_bytes(pdu := _readable_request())
            offset = pdu.index(_CMID.bytes_le)
        return subprocess.Popen(
            [
                *(str(tools / "rpcload"), "127.0.0.1", str(port), str(self.clients), str(_EACH)),
                *(str(tools / "bind.bin"), str(request)),
                *("1", *map(str, (self.addresses, self.machines, offset, first))),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )


def _readable_request() -> bytes:
    """The PDU of a request in version 4, which is in clear: the audit tells its machines apart."""
    nothing = UUID(int=0)
    request = Request(
        version=Version(4, 0),
        vm_info=0,
        license_status=2,
        minutes_left=43_200,
        app_id=nothing,
        act_id=nothing,
        kms_id=nothing,
        cmid=_CMID,
        required_count=25,
        client_time=from_unix(time.time()),
        previous_cmid=nothing,
        machine_name="SOAK",
    )
    stub = interface.encode_request(request.pack() + bytes(MAC_SIZE))
    return encode(RequestPdu(2, 0, 0, stub, len(stub)))


@dataclass(frozen=True, slots=True)
class Look:
    """A process at one moment: memory in KiB (resident, and that of its own: what is in no file), numbers of others."""

    resident: int
    own: int
    descriptors: int
    threads: int

    @classmethod
    def at(cls, pid: int) -> Look:
        """What the kernel says. Raises OSError where the process is gone."""
        folder = Path(f"/proc/{pid}")
        sizes = {line.split()[0]: int(line.split()[1]) for line in _rollup(folder)}
        return cls(sizes["Rss:"], sizes["Anonymous:"], len(os.listdir(folder / "fd")), len(os.listdir(folder / "task")))


def _rollup(folder: Path) -> list[str]:
    return (folder / "smaps_rollup").read_text().splitlines()[1:]


@dataclass(slots=True)
class Course:
    """A process in the course of a soak: what it is, and its looks, each with its second and whether under load."""

    name: str
    looks: list[tuple[float, bool, Look]] = field(default_factory=list)

    def growth(self, since: float) -> float | None:
        """MiB an hour by which it grew under load from that second on; None with fewer than four looks.

        It is the median of what each two looks say: one step early or late, such as a thread's first, is no growth.
        """
        points = [(second, look.own) for second, load, look in self.looks if load and second >= since]
        if len(points) < 4:
            return None
        return median((b[1] - a[1]) / 1024 / (b[0] - a[0]) * 3600 for a, b in combinations(points, 2))

    @property
    def more_descriptors(self) -> int | None:
        """How many more it has at the very end than before all load; None if it was not there at both."""
        (_, first_load, first), (_, last_load, last) = self.looks[0], self.looks[-1]
        return None if first_load or last_load else last.descriptors - first.descriptors

    def verdict(self, since: float) -> tuple[str, bool]:
        """A sentence, and whether all is well."""
        growth, more = self.growth(since), self.more_descriptors
        parts = []
        if growth is not None:
            parts.append(f"{growth:+.2f} MiB an hour of its own memory, at most {_GROWTH:g} is none")
        if more is not None:
            parts.append(f"{more:+d} descriptors at rest, at most {_MORE} is none")
        well = (growth is None or growth <= _GROWTH) and (more is None or more <= _MORE)
        said = "; ".join(parts) or "not there for long enough"
        return f"{self.name}: {'as it began' if well else 'GROWS'} ({said})", well


class Soak:
    """One run: `rows` are the table's, in the order of time; each is printed as it comes."""

    def __init__(self, tools: Path, running: Running, load: Load) -> None:
        self._tools = tools
        self._running = running
        self._load = load
        self._begun = time.monotonic()
        self._told = self._begun, 0
        self.done = self.errors = 0
        self.rows: list[str] = []
        self.courses: dict[int, Course] = {}

    def look(self, phase: str, *, load: bool = False) -> None:
        """Add a row for each process; `load` says whether it is under load."""
        now = time.monotonic()
        before, done = self._told
        rate = (self.done - done) / (now - before) if now > before else 0.0
        self._told = now, self.done
        for number, pid in enumerate(self._running.processes()):
            with suppress(OSError):
                one = Look.at(pid)
                head = f"{phase} | {now - self._begun:.0f} | {self.done:,} | {rate:,.0f}" if not number else " | | | "
                memory = f"{one.resident / 1024:.2f} | {one.own / 1024:.2f}"
                name = "process aside" if is_aside(pid) else "server"
                course = self.courses.setdefault(pid, Course(name))
                course.looks.append((now - self._begun, load, one))
                row = f"| {head} | {name} | {memory} | {one.descriptors} | {one.threads} |"
                self.rows.append(row)
                print(row, file=sys.stderr)

    def run(self, seconds: float, rest: float) -> None:
        """Look, load for so many seconds, and look again after a rest."""
        time.sleep(_SETTLING)
        self.look("before")
        self._begun, self._told = (now := time.monotonic()), (now, 0)
        every = max(_LEAST, seconds / _ROWS)
        due = self._begun + every
        ends = self._begun + seconds
        for _ in self._conversations(ends):
            if time.monotonic() >= due:
                due += every
                self.look("load", load=True)
        self.look("end of load", load=True)
        for part in range(3):
            time.sleep(rest / 3)
            self.look(f"rest of {rest * (part + 1) / 3:.0f} s")

    def _conversations(self, ends: float) -> Iterator[None]:
        """Hold conversations until it is late; yields a few times a second."""
        while time.monotonic() < ends:
            with self._load.begin(self._tools, self._running.port, self.done) as load:
                while load.poll() is None:
                    yield
                    time.sleep(0.2)
                assert load.stdout is not None
                found = _DONE.match(load.stdout.read())
            # A load generator that is refused ends with 1, and says how often.
            if found is None:
                raise RuntimeError(f"the load generator failed with {load.returncode}")
            self.done += int(found[1])
            self.errors += int(found[2])

    def verdict(self, minutes: float) -> tuple[str, bool]:
        """What is to be said of each process after so many minutes of load, and whether all is well."""
        if minutes < _VERDICT:
            return f"No verdict: caches fill at first, and only {_VERDICT:g} minutes of load tell more.", True
        said = [course.verdict(minutes * 60 * _WARM) for course in self.courses.values()]
        return "\n".join(f"- {sentence}" for sentence, _ in said), all(well for _, well in said)

    def table(self) -> str:
        """The rows as Markdown."""
        head = (
            "| | seconds | conversations | a second | process | resident, MiB | its own, MiB | descriptors | threads |"
        )
        return "\n".join([head, "| --- | ---: | ---: | ---: | --- " + "| ---: " * 4 + "|", *self.rows])


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="of load; 1 by default")
    parser.add_argument("--rest", type=float, default=_REST, help=f"seconds after it; {_REST:g} by default")
    parser.add_argument("--system", default="gateway", choices=[one.name for one in SYSTEMS])
    parser.add_argument("--clients", type=int, default=64, help="at once")
    parser.add_argument("--addresses", type=int, default=0, help="from so many addresses, 127.1.0.0 and on")
    parser.add_argument("--machines", type=int, default=0, help="so many machines, whose requests can be read")
    chosen = parser.parse_args()
    system = next(one for one in SYSTEMS if one.name == chosen.system)
    with ExitStack() as stack:
        tools = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kmstwist-soak-")))
        prepare(tools)
        host_port = free_port()
        back = [str(tools / "rpcback"), str(host_port), str(tools / "ack.bin"), str(tools / "resp.bin")]
        stack.enter_context(started(back, host_port, tools))
        running = stack.enter_context(system.started(tools, host_port))
        soak = Soak(tools, running, Load(chosen.clients, chosen.addresses, chosen.machines))
        soak.run(chosen.minutes * 60, chosen.rest)
    addresses = f"{chosen.addresses or 1:,} address{'es' if chosen.addresses > 1 else ''}"
    machines = f"{chosen.machines:,} machines" if chosen.machines else "opaque requests"
    minutes = "a minute" if chosen.minutes == 1 else f"{chosen.minutes:g} minutes"
    verdict, well = soak.verdict(chosen.minutes)
    text = f"""# Soak

{harness.machine()}; {system.title}.
{chosen.clients} clients at once from {addresses}, {machines}, for {minutes}: {soak.done:,}
conversations and {soak.errors} errors. `python -m benchmarks soak` measures it again, `--minutes 60` for an hour.

{verdict}

{soak.table()}
"""
    harness.report("soak", text)
    if not well:
        sys.exit(1)


if __name__ == "__main__":
    main()
