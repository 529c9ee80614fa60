"""Sockets that a service manager opened are found in the environment, and checked to be sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from kmstwist.process import inherited
from kmstwist.process.inherited import inherited_endpoints, unnamed_descriptor
from kmstwist.startup import StartupError

PID = 4711


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Listening sockets on IPv6 and IPv4, on descriptors that follow one another."""
    opened = [socket.create_server(("::1", 0), family=socket.AF_INET6), socket.create_server(("127.0.0.1", 0))]
    first = 700
    for index, one in enumerate(opened):
        os.dup2(one.fileno(), first + index)
    monkeypatch.setattr(inherited, "_FIRST_DESCRIPTOR", first)
    yield opened
    for index, one in enumerate(opened):
        one.close()
        os.close(first + index)


def test_the_sockets_of_a_socket_unit_become_endpoints(sockets: list[socket.socket]) -> None:
    environ = {"LISTEN_PID": str(PID), "LISTEN_FDS": "2"}
    assert inherited_endpoints(environ, PID) == ["systemd:domain=INET6:index=0", "systemd:domain=INET:index=1"]


def test_a_socket_without_a_name_is_found_by_its_index(sockets: list[socket.socket]) -> None:
    environ = {"LISTEN_PID": str(PID), "LISTEN_FDS": "2"}
    assert unnamed_descriptor("systemd:domain=INET:index=1", environ, PID) == 701
    assert unnamed_descriptor("systemd:index=0:domain=INET6", environ, PID) == 700
    assert unnamed_descriptor("systemd:domain=INET:index=2", environ, PID) is None
    assert unnamed_descriptor("systemd:domain=INET:name=kms", environ, PID) is None
    assert unnamed_descriptor("systemd:domain=INET:index=1", environ, PID + 1) is None


def test_sockets_meant_for_another_process_are_left_alone(sockets: list[socket.socket]) -> None:
    assert inherited_endpoints({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, PID) == []
    assert inherited_endpoints({}, PID) == []


def test_a_missing_descriptor_is_reported_with_the_cure(sockets: list[socket.socket]) -> None:
    with pytest.raises(StartupError, match="descriptor 702 of the socket unit is not a socket"):
        inherited_endpoints({"LISTEN_PID": str(PID), "LISTEN_FDS": "3"}, PID)


def test_a_datagram_socket_is_reported_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        monkeypatch.setattr(inherited, "_FIRST_DESCRIPTOR", datagram.fileno())
        with pytest.raises(StartupError, match="is not a listening stream socket; the unit needs ListenStream="):
            inherited_endpoints({"LISTEN_PID": str(PID), "LISTEN_FDS": "1"}, PID)
