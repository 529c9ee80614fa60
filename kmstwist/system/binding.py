"""Addresses as a socket is bound to them."""

from __future__ import annotations

import errno
import os
import socket

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def bindable(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """What `socket.bind` wants for an address as text, on `port`.

    A pair is not enough for an address that is valid on one link, such as `fe80::1%eth0`: the link's number is a part
    of its own. Raises `OSError` (`EADDRNOTAVAIL`) where this machine has no such link.
    """
    if "%" not in host:
        return host, port
    try:
        [(_, _, _, _, found), *_] = socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM, flags=_NUMERIC)
    except socket.gaierror:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from None
    # The types allow an address without a link, too.
    _, _, *link = found
    flow, scope = map(int, link)
    return host, port, flow, scope
