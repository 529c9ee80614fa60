"""The way of one activation through the program: which files it enters, and how often it moves from one to another.

    python -m benchmarks.path_of_a_call [--files] [--moves] [--no-audit] [--whole] [--load]

A gateway with everything on (audit, admission, counters, log) runs in this process, made by `makeService` as twistd
makes it. Before it is a client with a blocking socket, behind it a host that answers from memory; both are threads that
enter no file of the program. The gateway has answered a few calls when activations are counted: each from the request
on a bound connection to its answer, and the connection's end, when its line is written; with `--whole` the whole
conversation, connection and bind included. With `--load` it has answered so many before that a process aside commits
the records, as it does for a busy server; what that process does is not counted. The shortest way of some is reported:
into the others fell a look at the store or at the descriptors, which come by the clock. What is counted are the calls
of Python functions in files of the package, in the reactor's thread and in the audit's: the files they are in, and how
often a call is in another file than the call before it in its thread.

Fewer files and moves are easier to read, and each move is a call that costs time.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.logger import globalLogPublisher

import kmstwist
from benchmarks.canned import BIND, REQUEST, CannedHost, receive_pdu
from kmstwist.process.options import Options
from kmstwist.server.tap import makeService
from kmstwist.telemetry.lines import FORMATTERS, FloodLimit, LineObserver

#: What a reader can follow: goals of the program's layout.
FILES, MOVES = 20, 55
_PACKAGE = str(Path(kmstwist.__file__).parent) + os.sep
_WARM_UP, _COUNTED = 20, 60
#: Seconds of requests after which a process aside commits their records.
_BUSY = 5.0


class Way:
    """Counts calls of functions in the package's files, as a profiler of several threads."""

    def __init__(self) -> None:
        self.on = False
        self.steps: dict[int, list[str]] = {}
        self.functions: Counter[str] = Counter()
        #: The functions in the order of their calls, by thread, each as `file:function`.
        self.calls: dict[int, list[str]] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Note the file of a function that is called."""
        if event == "call" and self.on and frame.f_code.co_filename.startswith(_PACKAGE):
            file = frame.f_code.co_filename[len(_PACKAGE) :]
            self.steps.setdefault(threading.get_ident(), []).append(file)
            function = f"{file}:{frame.f_code.co_qualname}"
            self.functions[function] += 1
            self.calls.setdefault(threading.get_ident(), []).append(function)

    def taken(self) -> Way:
        """What was counted until now, which begins anew."""
        taken = Way()
        taken.steps, self.steps = self.steps, {}
        taken.calls, self.calls = self.calls, {}
        taken.functions, self.functions = self.functions, Counter()
        return taken

    @property
    def files(self) -> Counter[str]:
        """The files that were entered, each with how many of its functions were called."""
        return Counter(file for steps in self.steps.values() for file in steps)

    @property
    def moves(self) -> int:
        """How often a call was in another file than the one before it in the same thread."""
        return sum(before != after for steps in self.steps.values() for before, after in pairwise(steps))


def walk(*, audit: bool = True, whole: bool = False, load: bool = False) -> Way:
    """The way of one activation through a gateway that runs here. Once a process: it runs the reactor."""
    reactor: Any = _reactor
    way = Way()
    ways: list[Way] = []
    sys.setprofile(way)
    threading.setprofile(way)
    host = CannedHost()
    observer = LineObserver(FORMATTERS["text"], "info", lambda line, level: None)
    globalLogPublisher.addObserver(FloodLimit(observer, reactor.seconds, burst=100, rate=1))
    with tempfile.TemporaryDirectory(prefix="kmstwist-path-") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        config = Path(folder, "kmstwist.toml")
        config.write_text(f"[audit]\nenabled = {str(audit).lower()}\n")
        options = Options()
        options.parseOptions(
            [
                *(f"--config={config}", f"--port={port}", f"--upstream=127.0.0.1:{host.port}"),
                *(f"--state-dir={folder}", f"--run-dir={folder}"),
            ]
        )
        service = makeService(options)
        service.privilegedStartService()
        service.startService()
        failed: list[BaseException] = []

        def client() -> None:
            sys.setprofile(None)
            try:
                if load:
                    _keep_busy(port)
                for turn in range(_WARM_UP + _COUNTED):
                    counted = turn >= _WARM_UP
                    way.on = counted and whole
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                        peer.sendall(BIND)
                        receive_pdu(peer)
                        # The gateway's own work after its bind_ack belongs to the bind.
                        ended.wait(0.05)
                        way.on = counted
                        peer.sendall(REQUEST)
                        receive_pdu(peer)
                    ended.wait(0.2)
                    way.on = False
                    if counted:
                        ways.append(way.taken())
            except BaseException as error:
                failed.append(error)
            finally:
                way.on = False
                reactor.callFromThread(reactor.stop)

        ended = threading.Event()
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        thread = threading.Thread(target=client)
        reactor.callWhenRunning(thread.start)
        reactor.run()
        thread.join()
    sys.setprofile(None)
    threading.setprofile(None)
    if failed:
        raise failed[0]
    return min(ways, key=lambda one: sum(one.files.values()))


def _keep_busy(port: int) -> None:
    """Ask, as some clients at once, until a process aside commits what is asked."""

    def ask() -> None:
        sys.setprofile(None)
        until = time.monotonic() + _BUSY
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            peer.sendall(BIND)
            receive_pdu(peer)
            while time.monotonic() < until:
                peer.sendall(REQUEST)
                receive_pdu(peer)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    if not any(Path(f"/proc/self/task/{task}/children").read_text() for task in os.listdir("/proc/self/task")):
        raise RuntimeError("this machine is too busy: no process aside was started")


def main() -> None:
    """Print the sums, and with `--files` the files with their calls."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--files", action="store_true", help="list the files with their functions")
    arguments.add_argument("--moves", action="store_true", help="list the calls in their order, a line for each move")
    arguments.add_argument("--no-audit", action="store_true", help="with the audit off")
    arguments.add_argument("--whole", action="store_true", help="connection and bind, too")
    arguments.add_argument("--load", action="store_true", help="while a process aside commits the records")
    chosen, _ = arguments.parse_known_args()
    way = walk(audit=not chosen.no_audit, whole=chosen.whole, load=chosen.load)
    files = way.files
    if chosen.files:
        for file, calls in sorted(files.items()):
            print(f"{calls:5} {file}")
            for function, times in sorted(way.functions.items()):
                if function.startswith(file + ":"):
                    print(f"      {times:5} {function[len(file) + 1 :]}")
    if chosen.moves:
        for calls in way.calls.values():
            for file, functions in groupby(calls, lambda call: call.partition(":")[0]):
                print(f"{file}: {', '.join(call.partition(':')[2] for call in functions)}")
            print()
    print(f"{len(files)} files (at most {FILES} wanted), {way.moves} moves ({MOVES}), {sum(files.values())} calls")


if __name__ == "__main__":
    main()
