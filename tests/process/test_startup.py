"""What a server leaves to the garbage collector once it runs is little."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc, weakref
from kmstwist.startup import collect_rarely, put_aside

class Cycle:
    def __init__(self):
        self.itself = self

collect_rarely()
put_aside()
gc.collect()
first = weakref.ref(Cycle())
left = 1
while first() is not None and left < 1_000_000:
    Cycle()
    left += 1
print(left)
"""


def test_cycles_are_freed_before_they_add_up() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert 2000 < int(done.stdout) <= 20_000
