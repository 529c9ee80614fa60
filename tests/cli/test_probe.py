"""`kmstwist probe` of hosts that are not KMS hosts, or are hostile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from kmstwist.kms.interface import WINDOWS_CONTEXTS
from kmstwist.rpc import NDR32, BindAck, ContextOutcome, encode
from tests.system.running import kmstwist
from tests.waiting import PATIENCE

ACCEPTED, REFUSED, FEATURES = ContextOutcome(0, 0, NDR32), ContextOutcome(2, 2), ContextOutcome(3, 3)
Probe = Callable[[BindAck], tuple[int, str]]


@pytest.fixture
def probe() -> Probe:
    """Exit status and output of a probe whose bind is answered with a given acknowledgement, and nothing else is."""

    def ask(ack: BindAck) -> tuple[int, str]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)

            def answer() -> None:
                client, _ = server.accept()
                with client:
                    client.settimeout(PATIENCE)
                    client.recv(4096)
                    client.sendall(encode(ack))
                    # What is asked next gets no answer; a breach is answered with a reset.
                    with suppress(ConnectionResetError):
                        client.recv(4096)

            host = threading.Thread(target=answer)
            host.start()
            result = kmstwist("probe", f"127.0.0.1:{server.getsockname()[1]}", "--timeout", "10")
            host.join(PATIENCE)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout

    return ask


def test_a_server_that_mistakes_features_for_a_transfer_syntax_is_not_a_kms_host(probe: Probe) -> None:
    features = ContextOutcome(0, 0, WINDOWS_CONTEXTS[2].transfers[0])
    status, output = probe(BindAck(2, (REFUSED, REFUSED, features)))
    assert status == 2
    assert "RPC answers, but the KMS interface is not offered there" in output


def test_a_transfer_syntax_that_was_not_proposed_makes_no_kms_host(probe: Probe) -> None:
    status, output = probe(BindAck(2, (REFUSED, ACCEPTED, FEATURES)))
    assert status == 2
    assert "context 1 accepted with a transfer syntax that was not proposed for it" in output


def test_a_hosts_own_text_is_nothing_that_a_terminal_obeys(probe: Probe) -> None:
    address = b"1688\a\nKMS OK \x1b[2J" + b"x" * 3000
    _, output = probe(BindAck(2, (ACCEPTED, REFUSED, FEATURES), secondary_address=address))
    [line] = [line for line in output.splitlines() if "secondary address" in line]
    assert r"1688\x07\nKMS OK \x1b[2Jxxx" in line
    assert line.endswith("x...")
    assert len(line) < 120
