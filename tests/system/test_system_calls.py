"""The system calls of a conversation through a gateway, which show a regression in reading, writing or waiting."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.canned import BIND, REQUEST, CannedHost, receive_pdu
from tests.system.running import Server
from tests.waiting import PATIENCE, wait_until

CONVERSATIONS = 200
#: The name of a call in a whole line of strace's, or in its first half. The second half is a line of its own.
_CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)


def converse(port: int, times: int) -> None:
    """Hold this many conversations, one after the other."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as peer:
            for sent in (BIND, REQUEST):
                peer.sendall(sent)
                assert receive_pdu(peer)


@pytest.mark.needs("strace")
def test_a_conversation_makes_a_fixed_number_of_system_calls(tmp_path: Path) -> None:
    host, trace = CannedHost(), tmp_path / "trace"
    config = tmp_path / "kmstwist.toml"
    config.write_text("[audit]\nenabled = false\n")
    with Server(tmp_path / "state", f"--config={config}", f"--upstream=127.0.0.1:{host.port}") as server:
        converse(server.port, 10)
        server.conversations(10)
        tracer = subprocess.Popen(
            ["strace", "-f", "-o", str(trace), "-p", str(server.process.pid)], stderr=subprocess.PIPE, text=True
        )
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "not permitted" in said:
                pytest.skip("this system lets nobody trace a process")
            converse(server.port, CONVERSATIONS)
            server.conversations(10 + CONVERSATIONS)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(PATIENCE)
        wait_until(lambda: trace.stat().st_size > 0)
        counted = Counter(_CALL.findall(trace.read_text()))
        each = {name: number / CONVERSATIONS for name, number in counted.items()}
        assert server.stop() == 0
    # The client is accepted, read three times (bind, request, end), and written to twice; the host once each.
    assert each["accept4"] <= 2.1, each
    assert 3.9 < each["recvfrom"] <= 4.5, each
    assert 2.9 < each["sendto"] <= 3.1, each
    # The loop waits, and watches each connection from beginning to end.
    assert each["epoll_ctl"] <= 2.1, each
    # Each of the three events of a client is asked for twice: by the loop, and within the set of connections.
    assert each["epoll_wait"] <= 9.05, each
    assert sum(each.values()) <= 26, each
