"""Failing to start: one sentence on the terminal, an exit status, and no traceback."""

from __future__ import annotations

import gc
import sys
from types import TracebackType

from kmstwist.problem import ProblemError

#: New objects after which the garbage collector looks for cycles among them: while a program loads, which makes some
#: 100,000 that stay, and later.
_LOADING, _LATER = 200_000, 20_000
#: How often it looks among older ones, too: a look at a million takes long.
_OLDER = 20, 20
_OLDER_LATER = 50, 20


class StartupError(ProblemError):
    """kmstwist cannot start."""


def collect_rarely() -> None:
    """Have the garbage collector look for cycles rarely.

    After every 700 new objects, as Python has it, a tenth of a start goes into looking at modules, which stay. Cycles
    are rare in what follows (a failure with its traceback), and 200,000 objects are some 40 MB.
    """
    gc.set_threshold(_LOADING, *_OLDER)


def put_aside() -> None:
    """Have the collector never look again at what there is: to be called once all is loaded and has started.

    A server's modules, tables and configuration are some 100,000 objects and stay for good; looking through them takes
    up to 80 ms, in which no client is answered. Beside them some 2,000 stay that could be freed, after as long a look.

    From then on Python counts the objects made, less those freed. Clients that come and go add nothing to that, so the
    collector is called when 500 more are there at once than before, for 1 ms, or when as much is left in cycles, some
    3 MB. Few things leave any: a connection that is refused, a name that is looked up, a page of the site.
    """
    gc.freeze()
    gc.set_threshold(_LATER, *_OLDER_LATER)


def leave_at_once() -> None:
    """Have the interpreter end without looking for cycles among all there is: to be called last.

    Python looks through everything once more as it ends, which takes up to 80 ms where SQLAlchemy is loaded. Files are
    closed and exit handlers called all the same.
    """
    gc.freeze()


def speak_plainly() -> None:
    """Have a `StartupError` that nobody catches printed as its sentence.

    twistd lets what a service raises at start end the process with a traceback. An administrator's mistake (a taken
    port, say) does not come from the program, so it is shown as what it is.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, StartupError):
            sys.stderr.write(f"kmstwist: {error}\n")
        elif issubclass(kind, KeyboardInterrupt):
            # Ctrl-C before anything runs; the exit status says it.
            pass
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook
