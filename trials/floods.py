"""Floods of PDUs that are not calls, of idle connections and of bad logins, with a well-behaved client beside them.

The well-behaved client connects, binds and asks, over and over; its median time must be at most 100 ms.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import FIRST_FRAG, NDR32, AlterContext, Bind, CoCancel, Orphaned, PresentationContext, Request, encode
from trials.judging import Judgement, lab

_CONTEXT = PresentationContext(0, KMS_INTERFACE, (NDR32,))
BIND = encode(Bind(1, (_CONTEXT,)))
_MESSAGE = b"\0\0\6\0" + bytes(range(256))
CALL = encode(Request(2, 0, 0, interface.encode_request(_MESSAGE)))


def _fragment(flags: int) -> bytes:
    return encode(Request(2, 0, 0, b"x", flags=flags))


#: What a flooding connection sends repeatedly after its bind.
FLOODS: dict[str, tuple[int, bytes]] = {
    "one-byte fragments": (50, _fragment(FIRST_FRAG) + _fragment(0) * 900),
    "cancels": (20, encode(CoCancel(7)) * 2000),
    "orphans": (20, encode(Orphaned(7)) * 2000),
    "alters": (20, encode(AlterContext(3, (_CONTEXT,))) * 200),
    "bad operations": (20, encode(Request(5, 0, 77, b"")) * 500),
}


def good_clients(port: int, seconds: float) -> list[float]:
    """How long each call took, in milliseconds, including the connection."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(BIND)
            client.recv(4096)
            client.sendall(CALL)
            client.recv(4096)
        took.append((time.monotonic() - begun) * 1000)
        time.sleep(0.02)
    return took


def _flood(port: int, connections: int, what: bytes) -> None:
    """Keep this many connections open; each sends as fast as the server reads, and reconnects when it is cut."""
    os.nice(5)
    poll = selectors.DefaultSelector()
    offsets: dict[socket.socket, int] = {}

    def connect() -> None:
        # From other addresses than the good client's, as a flood would.
        client = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=("127.0.0.66", 0))
        client.sendall(BIND)
        client.recv(4096)
        client.setblocking(False)
        offsets[client] = 0
        poll.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)

    while True:
        with suppress(OSError):
            while len(offsets) < connections:
                connect()
        for key, events in poll.select(1):
            client: socket.socket = key.fileobj  # type: ignore[assignment]
            try:
                if events & selectors.EVENT_READ and not client.recv(65536):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    rest = what[offsets[client] :]
                    offsets[client] = (offsets[client] + client.send(rest)) % len(what)
            except BlockingIOError:
                continue
            except OSError:
                poll.unregister(client)
                del offsets[client]
                client.close()


@contextmanager
def flooding(target: Callable[..., None], *arguments: object) -> Iterator[None]:
    """A flood in a separate process."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    time.sleep(3)
    try:
        yield
    finally:
        process.kill()
        process.join()


def run(seconds: float) -> list[Judgement]:
    """Run each flood for its share of the time."""
    judged = []
    share = max(3.0, seconds / (len(FLOODS) + 1))
    with lab() as server:
        calm = statistics.median(good_clients(server.port, share))
        for name, (connections, what) in FLOODS.items():
            with flooding(_flood, server.port, connections, what):
                took = good_clients(server.port, share)
            median = statistics.median(took)
            # If the client is held up for long, there is only one call.
            worst = statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
            text = f"median {median:.0f} ms, 95th percentile {worst:.0f} ms ({calm:.0f} without), {len(took)} calls"
            judged.append(Judgement(f"a good client beside {connections} connections of {name}", median < 100, text))
    return judged
