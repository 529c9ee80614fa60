"""Failing to start: one sentence on the terminal, an exit status, and no traceback."""

from __future__ import annotations

import sys
from types import TracebackType

from kmstwist.problem import ProblemError


class StartupError(ProblemError):
    """kmstwist cannot start."""


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
