"""A host that floods the gateway, asked before a healthy one: clients soon get their answers from the healthy one.

As fast as the gateway reads, it sends garbage from the first moment, fragments of an endless answer, or one unrequested
PDU over and over. In between its circuit opens, and it is tried again, so it floods again.
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import FIRST_FRAG, Interface, Response, RpcServer, ServerAssociation, Shutdown, encode
from tests.ports import free_port
from tests.system.gateway_process import start_gateway, start_lab, upstream
from trials.floods import flooding, good_clients
from trials.judging import Judgement

#: What it sends once, and then over and over; anything but an answer comes before the first request.
FLOODS: dict[str, tuple[bytes, bytes]] = {
    "garbage": (b"", bytes(range(256)) * 256),
    "fragments of a byte": (
        encode(Response(2, 0, b"x", flags=FIRST_FRAG)),
        encode(Response(2, 0, b"x", flags=0)) * 2000,
    ),
    "whole fragments": (
        encode(Response(2, 0, b"x" * 4000, flags=FIRST_FRAG)),
        encode(Response(2, 0, b"x" * 4000, flags=0)) * 50,
    ),
    "shutdowns": (b"", encode(Shutdown(2)) * 2000),
    "answers that nobody asked for": (b"", encode(Response(99, 0, b"x" * 100)) * 2000),
}


def _serve(port: int, name: str) -> None:
    """The flooding host: a thread for each connection."""
    once, over_and_over = FLOODS[name]

    def flood(client: socket.socket) -> None:
        association = ServerAssociation(RpcServer((Interface(KMS_INTERFACE, 1),)), "1688")
        with client, suppress(OSError):
            if name != "garbage":
                # The bind is answered properly; the request after it is not.
                association.receive_data(client.recv(65536))
                client.sendall(association.data_to_send())
                client.recv(65536)
            client.sendall(once)
            while True:
                client.sendall(over_and_over)

    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=flood, args=(client,), daemon=True).start()


def run(seconds: float) -> list[Judgement]:
    """Run each flood for its share of the time."""
    judged = []
    share = max(3.0, seconds / len(FLOODS) - 8)
    for name in FLOODS:
        port = free_port()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kmstwist-trial-")))
            lab = stack.enter_context(start_lab(folder, "lab"))
            stack.enter_context(flooding(_serve, port, name))
            hosts = upstream(port, "flood") + upstream(lab.port, "good", 1)
            gateway = stack.enter_context(start_gateway(folder, hosts))
            gateway.wait_for(" listening ")
            before = gateway.rss()
            took = good_clients(gateway.port, share)
            grown = (gateway.rss() - before) / 2**20
            gateway.stop()
            answered = sum(" upstream=good result=refused code=" in line for line in gateway.lines)
        median = statistics.median(took)
        text = (
            f"median {median:.0f} ms, the longest {max(took):.0f} ms, {answered} of {len(took)} calls answered "
            f"by the other, {grown:.0f} MiB more"
        )
        held = median < 100 and max(took) < 5000 and answered == len(took) and grown < 32
        judged.append(Judgement(f"a good client behind a host that floods with {name}", held, text))
    return judged
