"""Looking up machines' names, to join events to records by address."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def addresses_of(name: str) -> Sequence[str]:
    """The addresses of a machine's name from this machine's resolver; none if it does not know the name."""
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return ()
    return sorted({str(address[4][0]) for address in found})
