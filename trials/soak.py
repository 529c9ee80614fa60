"""Left alone under a steady load: neither memory nor descriptors grow."""

from __future__ import annotations

import time
from pathlib import Path

from trials.judging import Judgement, lab
from trials.kills import Crowd

#: Bytes that memory may grow by after the first quarter: caches fill up.
_GROWTH = 32 * 1024 * 1024


def run(seconds: float) -> list[Judgement]:
    """A crowd for all of the time; looked at after its first quarter and at its end."""
    with lab() as server:
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        crowd = Crowd(server.port)
        time.sleep(seconds / 4)
        memory = server.rss()
        time.sleep(seconds * 3 / 4)
        grown = server.rss() - memory
        answered = crowd.end()
        # The last connections end a moment later than their clients.
        time.sleep(1)
        open_ones = len(list(descriptors.iterdir()))
    text = f"{answered} calls, {grown / 2**20:.1f} MiB more, {open_ones} descriptors open at the end"
    return [Judgement("memory and descriptors do not grow", grown < _GROWTH and open_ones < 40, text)]
