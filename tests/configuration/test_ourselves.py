"""An upstream that is this server itself."""

from __future__ import annotations

import pytest

from kmstwist.configuration.derived import first_port, listening_ports, listens_at, own_address, refuse_ourselves
from kmstwist.configuration.model import Config
from kmstwist.startup import StartupError


def listening(*listen: str) -> Config:
    upstream = [{"address": "127.0.0.1:1700"}]
    return Config.model_validate({"server": {"port": 1700, "listen": listen}, "gateway": {"upstreams": upstream}})


@pytest.mark.parametrize(
    ("listen", "ours"),
    [
        ((), True),
        (("tcp:1700",), True),
        (("tcp:port=1700",), True),
        ((r"tcp6:1700:interface=\:\:",), True),
        (("tcp:1700:interface=127.0.0.1",), True),
        (("tcp:1700:interface=localhost",), True),
        # Another address of this machine, where somebody else may listen.
        (("tcp:1700:interface=127.0.0.9",), False),
        ((r"tcp6:1700:interface=\:\:1",), False),
        (("tcp:1701",), False),
        # What HAProxy talks to.
        (("haproxy:tcp:1700",), True),
        # One of two is enough.
        (("tcp:1700:interface=127.0.0.9", "tcp:1700:interface=127.0.0.1"), True),
    ],
)
def test_an_upstream_whose_calls_would_return_here_is_this_server(listen: tuple[str, ...], ours: bool) -> None:
    config = listening(*listen)
    assert listens_at(config, "127.0.0.1", 1700) is ours
    if ours:
        with pytest.raises(StartupError, match="is this gateway itself"):
            refuse_ourselves(config)
    else:
        refuse_ourselves(config)


@pytest.mark.parametrize(
    ("listen", "address", "ours"),
    [
        ((), "::1", True),
        (("tcp:1700",), "::1", False),
        (("tcp:1700:interface=0.0.0.0",), "::1", False),
        (("tcp6:1700",), "::1", True),
        (("haproxy:tcp6:1700",), "::1", True),
        ((r"tcp6:1700:interface=\:\:1",), "0:0::1", True),
        (("tcp:1700:interface=127.0.0.1",), "::ffff:127.0.0.1", True),
    ],
)
def test_an_address_is_compared_as_an_address(listen: tuple[str, ...], address: str, ours: bool) -> None:
    assert listens_at(listening(*listen), address, 1700) is ours


def test_this_machines_own_name_is_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.configuration.derived.socket.gethostname", lambda: "localhost.localdomain")
    monkeypatch.setattr(
        "kmstwist.configuration.derived.socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.1.1", 0))]
    )
    for host, ours in (("Localhost.localdomain", True), ("kms.corp.test", False)):
        upstream = [{"address": f"{host}:1700"}]
        config = Config.model_validate({"server": {"port": 1700}, "gateway": {"upstreams": upstream}})
        if ours:
            with pytest.raises(StartupError, match="is this gateway itself"):
                refuse_ourselves(config)
        else:
            refuse_ourselves(config)


def test_an_address_of_another_machine_is_not_ours() -> None:
    assert not listens_at(listening(), "192.0.2.1", 1700)


@pytest.mark.parametrize(
    ("listen", "ports", "where"),
    [
        ((), {1700}, "127.0.0.1:1700"),
        (("tcp:1701",), {1701}, "127.0.0.1:1701"),
        (("10.1.9.2:1701", "tcp:1702"), {1701, 1702}, "10.1.9.2:1701"),
        ((r"tcp6:interface=\:\::port=1701:backlog=50",), {1701}, "[::1]:1701"),
        ((r"tcp6:1701:interface=fe80\:\:7",), {1701}, "[fe80::7]:1701"),
        (("haproxy:tcp:1701",), {1701}, None),
        (("haproxy:tcp:1701", "tcp:0", "127.0.0.1:1702"), {0, 1701, 1702}, "127.0.0.1:1702"),
        (("unix:/run/kms.sock", "systemd:domain=INET:index=0"), set(), None),
    ],
)
def test_the_ports_it_listens_on_and_where_it_is_reached(
    listen: tuple[str, ...], ports: set[int], where: str | None
) -> None:
    config = listening(*listen)
    assert listening_ports(config) == ports
    assert first_port(config) == min(ports - {0}, default=None)
    own = own_address(config)
    assert (None if own is None else str(own)) == where
