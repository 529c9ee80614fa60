"""Twisted's sockets without TLS, and with it where an endpoint asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SERVE_ONCE = """
import ssl, socket, sys
from kmstwist.system.plainreactor import load_without_tls, prepare_endpoint
load_without_tls()
from kmstwist.reactor import installed_reactor
reactor = installed_reactor()
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

prepare_endpoint("tcp:0")
print("OpenSSL" in sys.modules)
prepare_endpoint(sys.argv[1])
print("OpenSSL" in sys.modules)

class Greeting(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello")
        self.transport.loseConnection()

def ask(port):
    context = ssl.create_default_context(cafile="server.crt")
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            return secured.recv(5).decode()

def opened(port):
    done = deferToThread(ask, port.getHost().port)
    done.addCallbacks(print, lambda failure: print(failure.getErrorMessage())).addBoth(lambda _: reactor.stop())

serverFromString(reactor, sys.argv[1]).listen(Factory.forProtocol(Greeting)).addCallback(opened)
reactor.run()
"""


@pytest.mark.parametrize(
    "description", ["ssl:0:privateKey=server.key:certKey=server.crt", "tls:folder:0:interface=127.0.0.1"]
)
def test_tls_is_loaded_for_an_endpoint_that_needs_it(tmp_path: Path, description: str) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", "server.key", "-out", "server.crt"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (tmp_path / "folder").mkdir()
    both = (tmp_path / "server.key").read_bytes() + (tmp_path / "server.crt").read_bytes()
    (tmp_path / "folder" / "localhost.pem").write_bytes(both)
    ran = subprocess.run(
        [sys.executable, "-c", _SERVE_ONCE, description], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.split() == ["False", "True", "hello"], ran.stderr
