"""Closing a listening socket that has a name in the file system, whatever became of the name."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix
from twisted.python.failure import Failure


def survive_without_name(port: Any) -> None:
    """Have a port of Twisted's close also where its name cannot be removed; only one of a Unix socket has a name.

    The name may have been removed by somebody, or lie in a folder that this process may not change any more. Twisted
    would fail at it, and whoever waits for the end of the port would wait for ever.
    """
    if not isinstance(port, unix.Port):
        return

    def lost(reason: Failure) -> None:
        try:
            unix.Port.connectionLost(port, reason)
        except OSError:
            tcp.Port.connectionLost(port, reason)

    vars(port)["connectionLost"] = lost
