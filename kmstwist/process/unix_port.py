"""Closing a listening socket that has a name in the file system, even if the name is gone."""

from __future__ import annotations

from twisted.internet import tcp, unix
from twisted.python.failure import Failure


def survive_without_name(port: object) -> None:
    """Let a port of Twisted's close even if its name cannot be removed; only Unix sockets have names.

    Somebody may have removed the name, or it is in a folder that this process may no longer change. Twisted would fail
    there, and whoever waits for the port to close would wait for ever.
    """
    if not isinstance(port, unix.Port):
        return

    def lost(reason: Failure) -> None:
        try:
            unix.Port.connectionLost(port, reason)
        except OSError:
            tcp.Port.connectionLost(port, reason)

    vars(port)["connectionLost"] = lost
