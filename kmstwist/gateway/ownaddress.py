"""Which addresses belong to this machine."""

from __future__ import annotations

import errno
import socket

from kmstwist.system.binding import bindable


def is_own_address(address: str) -> bool:
    """Whether an IP address, as text, belongs to this machine: only its own addresses can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind(bindable(address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
    return True
