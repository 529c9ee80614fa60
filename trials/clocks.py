"""The wall clock set back and forward by hours under load: nobody waits, nobody is cut, and every deadline holds.

Calls alone would not show a wrong clock. So before each step a silent client connects, too: it must be closed when its
time is over, neither earlier nor later.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from trials.floods import good_clients
from trials.judging import Judgement, lab

#: Seconds by which the clock is set.
STEPS = (-120, 7200, -7200, 86_400, -1)
#: Seconds that a silent client has, and by which its closing may be late on a busy machine.
FIRST_BYTE = 3.0
LATE = 10.0


class Silent:
    """A silent client; `seconds` is how long it was connected, None while it still is."""

    def __init__(self, port: int) -> None:
        self.seconds: float | None = None
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=FIRST_BYTE + LATE)
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        with self._connection, suppress(TimeoutError):
            with suppress(ConnectionResetError):
                self._connection.recv(1)
            self.seconds = time.monotonic() - self._begun

    def judge(self, step: int) -> Judgement:
        """Wait until it is closed."""
        self._thread.join()
        seconds = self.seconds
        text = "it was not closed" if seconds is None else f"closed after {seconds:.1f} s"
        promise = f"a client that says nothing is closed after {FIRST_BYTE:g} s with the clock set to {step:+d} s"
        return Judgement(promise, seconds is not None and seconds > FIRST_BYTE - 0.5, text)


def run(seconds: float) -> list[Judgement]:
    """Do each step for its share of the time."""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None or shutil.which("faketime") is None:
        return [Judgement("the clock may be set", True, "not tried: faketime is not installed")]
    share = max(2.0, seconds / len(STEPS))
    judged = []
    with tempfile.TemporaryDirectory(prefix="kmstwist-trial-") as folder:
        step = Path(folder) / "step"
        step.write_text("+0")
        environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(step),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        before = dict(os.environ)
        os.environ.update(environment)
        try:
            config = Path(folder) / "kmstwist.toml"
            config.write_text(f"[server.timeouts]\nfirst_byte = {FIRST_BYTE}\n")
            server_context = lab(f"--config={config}")
            server = server_context.__enter__()
        finally:
            os.environ.clear()
            os.environ.update(before)
        try:
            for each in STEPS:
                silent = Silent(server.port)
                # Until it is accepted, and its deadline is set by the old clock.
                good_clients(server.port, 0.5)
                step.write_text(f"{each:+d}")
                begun = time.monotonic()
                promise = f"calls go on with the clock set to {each:+d} s"
                try:
                    took = good_clients(server.port, share)
                except OSError as error:
                    judged.append(Judgement(promise, False, str(error)))
                    judged.append(silent.judge(each))
                    continue
                text = f"{len(took)} calls in {time.monotonic() - begun:.0f} s, the longest {max(took):.0f} ms"
                # A server that waited for the wall clock would answer nobody for as long as the clock was set back.
                judged.append(Judgement(promise, max(took) < 10_000, text))
                judged.append(silent.judge(each))
        finally:
            server_context.__exit__(None, None, None)
    return judged
