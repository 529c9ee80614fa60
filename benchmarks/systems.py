"""What the load benchmark measures: each system as processes of its own, started and ended here.

The host behind (`rpcback`) and the load (`rpcload`) are small C programs of `peers/`, built when they are needed. All
systems carry the same conversations to the same host.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import canned

PEERS = Path(__file__).parent / "peers"
#: Seconds that a system may take until it listens.
_PATIENCE = 30.0
#: Seconds between looks whether it does: how exact the time of a start is.
_LOOK = 0.003
_TWISTD = str(Path(sys.executable).with_name("twistd"))


def free_port() -> int:
    """A TCP port that nobody uses at present, below those that the system gives to connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def prepare(folder: Path) -> None:
    """Build the C programs in `folder`, and write the PDUs of a conversation there."""
    for name in ("rpcload", "rpcback"):
        subprocess.run(["cc", "-O2", "-o", str(folder / name), str(PEERS / f"{name}.c")], check=True)
    pdus = {"bind": canned.BIND, "req": canned.REQUEST, "ack": canned.ACK, "resp": canned.RESPONSE}
    for name, pdu in pdus.items():
        (folder / f"{name}.bin").write_bytes(pdu)


@dataclass(frozen=True, slots=True)
class Running:
    """A system that runs: its process and the port that clients connect to."""

    process: subprocess.Popen[bytes]
    port: int

    def processes(self) -> list[int]:
        """The ids of its processes, those first that started others."""
        return list(_family(self.process.pid))

    def processor_seconds(self) -> float:
        """The processor time, in seconds, that its processes and their threads have had."""
        return sum(map(processor_nanoseconds, _family(self.process.pid))) / 1e9

    def memory(self) -> int:
        """Resident memory of its processes, in bytes."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _family(self.process.pid))
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _family(int(child))


def processor_nanoseconds(pid: int) -> int:
    """The processor time that a process and its threads have had."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in Path(f"/proc/{pid}/task").iterdir())


def is_aside(pid: int) -> bool:
    """Whether this is the process that commits the audit's records while many come, and not a server."""
    return b"aside/process.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system runs: the folder of the tools, one of its own, its port, and the port of the host behind."""

    tools: Path
    folder: Path
    port: int
    host_port: int


@dataclass(frozen=True, slots=True)
class System:
    """Something that carries conversations. `title` is what it is called in results, `command` what runs it."""

    name: str
    title: str
    command: Callable[[Place], Sequence[str]]

    @contextmanager
    def started(self, tools: Path, host_port: int) -> Iterator[Running]:
        """Run it until the context's end."""
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=tools))
        port = free_port()
        with started(self.command(Place(tools, folder, port, host_port)), port, folder) as running:
            yield running


def _bare_relay(place: Place) -> Sequence[str]:
    program = str(PEERS / "bare_relay.py")
    return [sys.executable, program, str(place.port), str(place.host_port), str(place.tools)]


def _haproxy(place: Place) -> Sequence[str]:
    file = place.folder / "haproxy.cfg"
    file.write_text(
        "global\n  nbthread 1\n  maxconn 2000\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        f"frontend kms\n  bind 127.0.0.1:{place.port} backlog 4096\n  default_backend hosts\n"
        f"backend hosts\n  server kms1 127.0.0.1:{place.host_port}\n"
    )
    return ["haproxy", "-db", "-f", str(file)]


def _kmstwist(*, gateway: bool, everything: bool = True, workers: int = 1) -> Callable[[Place], Sequence[str]]:
    """A gateway or a lab with the audit, admission, metrics and the log on; or with none of them but the log."""

    def command(place: Place) -> Sequence[str]:
        file = place.folder / "kmstwist.toml"
        text = f"[audit]\nenabled = {str(everything).lower()}\n[admission]\nclient_connections = 100000\n"
        if everything:
            # A rate that is looked at and never reached.
            text += f"client_rate = 1e6\nclient_burst = 1000000\n[web]\nlisten = '127.0.0.1:{free_port()}'\n"
        file.write_text(text)
        return [
            *(_TWISTD, "-n", "--pidfile=", "kms", f"--config={file}", f"--port={place.port}"),
            *(f"--state-dir={place.folder}", f"--run-dir={place.folder}"),
            *((f"--upstream=127.0.0.1:{place.host_port}",) if gateway else ()),
            *((f"--workers={workers}",) if workers > 1 else ()),
        ]

    return command


BARE: Final = System("bare", "bare Twisted relay", _bare_relay)
HAPROXY: Final = System("haproxy", "HAProxy, TCP mode, one thread", _haproxy)
SYSTEMS: Final = (
    HAPROXY,
    BARE,
    System("gateway", "gateway, everything on", _kmstwist(gateway=True)),
    System("gateway-off", "gateway, audit, rates and metrics off", _kmstwist(gateway=True, everything=False)),
    System("gateway-2", "gateway, everything on, two workers", _kmstwist(gateway=True, workers=2)),
    System("lab", "lab, everything on", _kmstwist(gateway=False)),
    System("lab-off", "lab, audit, rates and metrics off", _kmstwist(gateway=False, everything=False)),
)


@contextmanager
def started(command: Sequence[str], port: int, folder: Path) -> Iterator[Running]:
    """Run a program that listens on `port`, until the context's end; its output is in `folder`'s `log`."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            _wait_for(port, process, folder / "log")
            yield Running(process, port)
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()[-2000:]}") from None
            time.sleep(_LOOK)
