"""A burst of clients waits in the kernel's queue, whatever endpoint description opened the port."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as installed
from twisted.internet.protocol import Factory

from kmstwist.process.listening import BACKLOG, Listeners, adopted_endpoint, described_endpoint
from tests.ports import free_port

reactor: Any = installed
#: Where the kernel's `tcp_info` of a listening socket has the length of its queue (tcp(7), linux/tcp.h).
_QUEUE = 28


def queue_of(listening: socket.socket) -> int:
    found: int = struct.unpack_from("I", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), _QUEUE)[0]
    return found


@pytest.fixture
def longest() -> int:
    """The longest queue that the kernel gives."""
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        (r"tcp:{port}:interface=127.0.0.1", BACKLOG),
        (r"tcp6:{port}:interface=\:\:1", BACKLOG),
        (r"haproxy:tcp:{port}:interface=127.0.0.1", BACKLOG),
        (r"tcp:{port}:interface=127.0.0.1:backlog=7", 7),
    ],
)
@ensureDeferred
async def test_the_queue_is_as_long_as_that_of_a_port_unless_the_description_says_how_long(
    description: str, wanted: int, longest: int
) -> None:
    listeners = Listeners([described_endpoint(reactor, description.format(port=free_port()))])
    listeners.open(Factory())
    assert queue_of(listeners.ports[0][1].socket) == min(wanted, longest)
    await listeners.close()


@ensureDeferred
async def test_the_queue_of_a_socket_that_another_opened_is_left_alone() -> None:
    theirs = socket.create_server(("127.0.0.1", 0), backlog=9).detach()
    listeners = Listeners([adopted_endpoint(reactor, theirs)])
    listeners.open(Factory())
    assert queue_of(listeners.ports[0][1].socket) == 9
    await listeners.close()
