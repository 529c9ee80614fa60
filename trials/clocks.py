"""The wall clock set back and forward by hours under load: nobody waits, nobody is cut."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from trials.floods import good_clients
from trials.judging import Judgement, lab

#: Seconds by which the clock is set.
STEPS = (-120, 7200, -7200, 86_400, -1)


def run(seconds: float) -> list[Judgement]:
    """Each step for its share of the time."""
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
            server_context = lab()
            server = server_context.__enter__()
        finally:
            os.environ.clear()
            os.environ.update(before)
        try:
            for each in STEPS:
                step.write_text(f"{each:+d}")
                begun = time.monotonic()
                promise = f"calls go on with the clock set to {each:+d} s"
                try:
                    took = good_clients(server.port, share)
                except OSError as error:
                    judged.append(Judgement(promise, False, str(error)))
                    continue
                text = f"{len(took)} calls in {time.monotonic() - begun:.0f} s, the longest {max(took):.0f} ms"
                # A server that waits for the clock answers nobody for as long as it was set back.
                judged.append(Judgement(promise, max(took) < 10_000, text))
        finally:
            server_context.__exit__(None, None, None)
    return judged
