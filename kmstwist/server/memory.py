"""How the garbage collector is to behave in a server, once it runs.

Python looks for reference cycles after every 700 new objects, and now and then in all objects there are. A server has
some 200,000 from its modules, its tables and its configuration, which stay for good; looking through them takes up to
80 ms, in which no client is answered. So they are put aside when the server has started (`gc.freeze`), and the
collector looks less often: what a conversation leaves is freed by its reference counts, cycles are rare (a failure with
its traceback), and 50,000 objects are some 10 MB.
"""

from __future__ import annotations

import gc
from typing import Final

from kmstwist.reactor import Reactor

_THRESHOLDS: Final = (50_000, 20, 20)


def settle(reactor: Reactor) -> None:
    """Put aside what is there when the reactor runs and all services have started."""
    reactor.callWhenRunning(reactor.callLater, 0, _freeze)


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
