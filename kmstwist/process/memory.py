"""How the garbage collector is to behave in a server, once it runs.

Python looks for reference cycles among new objects, and now and then in all objects there are. A server has some
100,000 from its modules, its tables and its configuration, which stay for good; looking through them takes up to 80 ms,
in which no client is answered. So they are put aside when the server has started (`gc.freeze`), beside some 2,000 that
could have been freed first, for as long a look. How often the collector looks from then on was set when the server was
loaded (`kmstwist.startup`).
"""

from __future__ import annotations

import gc

from kmstwist.reactor import Reactor


def settle(reactor: Reactor) -> None:
    """Put aside what is there when the reactor runs and all services have started."""
    reactor.callWhenRunning(reactor.callLater, 0, gc.freeze)
