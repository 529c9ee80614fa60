"""Which upstream is this server itself."""

from __future__ import annotations

import pytest

from kmstwist.configuration.derived import listens_at, refuse_ourselves
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
        # One of two is enough.
        (("tcp:1700:interface=127.0.0.9", "tcp:1700:interface=127.0.0.1"), True),
    ],
)
def test_an_upstream_is_this_server_where_what_is_sent_there_comes_here(listen: tuple[str, ...], ours: bool) -> None:
    config = listening(*listen)
    assert listens_at(config, "127.0.0.1", 1700) is ours
    if ours:
        with pytest.raises(StartupError, match="is this gateway itself"):
            refuse_ourselves(config)
    else:
        refuse_ourselves(config)


def test_an_address_of_another_machine_is_not_ours() -> None:
    assert not listens_at(listening(), "192.0.2.1", 1700)
