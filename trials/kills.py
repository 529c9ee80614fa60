"""SIGKILL under load, over and over: the audit has every call that was answered."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from tests.system.running import Server
from trials.floods import BIND, CALL
from trials.judging import Judgement

_CLIENTS = 6
#: Seconds that a server lives: too short for a process aside that commits for it, or long enough for one.
_ALONE, _ASIDE = (0.3, 1.5), (3.0, 6.0)


class Crowd:
    """Clients that ask until they are told to stop; `answered` is how many answers they got."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answered = 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=30) as client:
                    client.sendall(BIND)
                    client.recv(4096)
                    client.sendall(CALL)
                    if client.recv(4096):
                        with self._lock:
                            self.answered += 1
            except OSError:
                # The server has just been killed; it comes back.
                time.sleep(0.01)

    def end(self) -> int:
        """Stop. Returns the number of answers."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.answered


def recorded(store: Path) -> int:
    """How many records a store has."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        count: int = database.execute("SELECT count(*) FROM records").fetchone()[0]
        return count


def aside_of(server: int) -> list[int]:
    """The processes aside that commit records for a server."""
    tasks = Path(f"/proc/{server}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def run(seconds: float) -> list[Judgement]:
    """As many kills as fit: of the server and, in some rounds, of the process aside before it."""
    kills, asides, answered, port = 0, 0, 0, None
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="kmstwist-trial-") as folder:
        state = Path(folder) / "state"
        while time.monotonic() < end:
            with Server(state, port=port) as server:
                port = server.port
                crowd = Crowd(port)
                # The moments of the kills must vary, so that they hit different stages of its work.
                time.sleep(random.uniform(*(_ASIDE if kills % 3 == 0 else _ALONE)))  # noqa: S311
                aside = aside_of(server.process.pid)
                asides += bool(aside)
                if kills % 2:
                    for each in aside:
                        os.kill(each, signal.SIGKILL)
                    time.sleep(random.uniform(0, 0.2))  # noqa: S311
                server.kill()
                answered += crowd.end()
                kills += 1
        with Server(state, port=port) as server:
            server.stop()
        found = recorded(state / "lab-audit.sqlite")
    text = f"{kills} kills, {asides} of them with a process aside, {answered} calls answered, {found} recorded"
    return [Judgement("an answered call is in the audit, whenever the server is killed", found >= answered > 0, text)]
