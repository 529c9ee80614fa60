"""What follows from a configuration: its folders, the ports it listens on, the hosts that are no strangers to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kmstwist.addresses import is_address
from kmstwist.configuration.model import Config
from kmstwist.discovery.known import identity
from kmstwist.gateway.discover import is_own_address
from kmstwist.lab.keys import LabKeyError, default_state_dir
from kmstwist.startup import StartupError


def state_dir(config: Config) -> Path:
    """The state folder. Raises `StartupError` where none is named and the user has no home."""
    try:
        return Path(config.server.state_dir) if config.server.state_dir else default_state_dir()
    except LabKeyError as error:
        raise StartupError(str(error)) from None


def run_dir(config: Config) -> Path:
    """The folder of the control socket: the state folder where none is named. Raises `StartupError` as that does."""
    return Path(config.server.run_dir) if config.server.run_dir else state_dir(config)


def listening_ports(config: Config) -> frozenset[int]:
    """The TCP ports this server listens on, as far as the configuration says."""
    if not config.server.listen:
        return frozenset({config.server.port})
    # Twisted's endpoints have their port in the first place, or by its name: tcp:1688:backlog=50, tcp6:port=1688.
    numbers = (number for text in config.server.listen for number in re.findall(r"^\w+:(\d+)|:port=(\d+)", text))
    return frozenset(int(first or named) for first, named in numbers)


def refuse_ourselves(config: Config) -> None:
    """Raise `StartupError` where an upstream is this gateway itself, by an address."""
    own_ports = listening_ports(config)
    for upstream in config.gateway.upstreams:
        where = upstream.host_port
        host = "127.0.0.1" if where.host == "localhost" else where.host
        if where.port in own_ports and is_address(host) and is_own_address(host):
            raise StartupError(
                f"upstream {upstream.label} is this gateway itself; name the licensed KMS host, or listen elsewhere"
            )


def known_hosts(config: Config, own_name: str, upstreams: Sequence[str] | None = None) -> set[str]:
    """The KMS hosts that are no strangers, in the form of `identity`: the configured, the upstreams, and ourselves."""
    if upstreams is None:
        upstreams = [upstream.host_port.host for upstream in config.gateway.upstreams]
    return {identity(host) for host in (*config.dns.watch.hosts, *upstreams, own_name)}
