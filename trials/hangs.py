"""Processes that hang: a worker suspended at work, and one that never opens its control socket.

Each is found, logged, killed and replaced; no question takes more than two seconds beyond the command's own start; and
the other workers serve clients throughout.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from kmstwist.process.control_client import CommandError, ask, socket_path
from tests.system.gateway_process import start_gateway, start_lab, upstream
from tests.system.running import Server
from tests.waiting import wait_until
from trials.floods import good_clients
from trials.judging import Judgement

#: Python reads this at its start. The second worker hangs there as long as a file exists.
_HANGS = """
import os, signal, sys
if '"worker":2' in os.environ.get("KMSTWIST_WORKER", "") and os.path.exists(os.environ["TRIAL_HANGS"]):
    {how}
"""
#: Ways to hang at the start, by name.
_WAYS = {
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "in a pipe that nobody writes": "open(os.environ['TRIAL_HANGS'] + '.pipe').read()",
}


def workers(server: Server) -> list[int]:
    """The process ids of a server's workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(child) for child in children]


def _asked(server: Server) -> float:
    """How long the supervisor takes to report its status, in seconds."""
    begun = time.monotonic()
    ask(socket_path(server.state_dir, server.port), {"command": "status"}, 30.0)
    return time.monotonic() - begun


def _stopped(folder: Path, seconds: float) -> Judgement:
    with ExitStack() as stack:
        lab = stack.enter_context(start_lab(folder, "lab"))
        gateway = stack.enter_context(start_gateway(folder, upstream(lab.port, "lab"), "--workers=2"))
        gateway.wait_for(" listening ", 2)
        wait_until(lambda: _asked(gateway) < 1)
        longest, rounds = 0.0, 0
        end = time.monotonic() + seconds
        while rounds == 0 or time.monotonic() < end:
            victim = workers(gateway)[0]
            os.kill(victim, signal.SIGSTOP)
            rounds += 1
            while victim in workers(gateway):
                longest = max(longest, _asked(gateway))
            gateway.wait_for(" listening ", 2 + rounds)
        gateway.stop()
    text = f"{rounds} stopped and replaced, the longest question took {longest:.1f} s"
    return Judgement("a worker that is stopped is replaced, and no question waits for it", longest < 3, text)


def _never_starts(folder: Path, name: str, how: str) -> Judgement:
    hangs = folder / "hangs"
    hangs.write_text("")
    os.mkfifo(f"{hangs}.pipe")
    (folder / "sitecustomize.py").write_text(_HANGS.format(how=how))
    before = dict(os.environ)
    with ExitStack() as stack:
        lab = stack.enter_context(start_lab(folder, "lab"))
        os.environ.update(PYTHONPATH=str(folder), TRIAL_HANGS=str(hangs))
        try:
            gateway = stack.enter_context(start_gateway(folder, upstream(lab.port, "lab"), "--workers=2"))
        finally:
            os.environ.clear()
            os.environ.update(before)
        gateway.wait_for(" listening ")
        begun = time.monotonic()
        # The first worker may still be starting.
        wait_until(lambda: _asked(gateway) < 2.5)
        longest = 0.0
        first = workers(gateway)
        while workers(gateway) == first and time.monotonic() - begun < 60:
            longest = max(longest, _asked(gateway))
            good_clients(gateway.port, 0.2)
        found = time.monotonic() - begun
        gateway.wait_for(" worker-stuck worker=2 ")
        gateway.wait_for(" worker-ended .*signal 9")
        hangs.unlink()
        gateway.wait_for(" listening ", 2)
        try:
            ask(socket_path(gateway.state_dir, gateway.port), {"command": "status"}, 30.0)
        except CommandError as error:
            return Judgement(f"a worker that hangs at its start, {name}, is replaced", False, str(error))
        gateway.stop()
    text = f"found after {found:.0f} s, the longest question took {longest:.1f} s"
    return Judgement(f"a worker that hangs at its start, {name}, is found and replaced", longest < 3, text)


def run(seconds: float) -> list[Judgement]:
    """Try each way to hang at the start once; suspend workers for the rest of the time."""
    judged = []
    begun = time.monotonic()
    for name, how in _WAYS.items():
        with tempfile.TemporaryDirectory(prefix="kmstwist-trial-") as folder:
            judged.append(_never_starts(Path(folder), name, how))
    with tempfile.TemporaryDirectory(prefix="kmstwist-trial-") as folder:
        judged.append(_stopped(Path(folder), seconds - (time.monotonic() - begun)))
    return judged
