"""Looking machines' names up, to join events to records by address."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def addresses_of(name: str) -> Sequence[str]:
    """The addresses of a machine's name, as this machine's resolver has them; none if it does not know it."""
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return ()
    return sorted({str(address[4][0]) for address in found})
