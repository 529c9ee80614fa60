"""What follows from a configuration: its folders, the ports it listens on, the hosts that it knows."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from kmstwist.addresses import HostPort, is_address
from kmstwist.configuration.model import Config
from kmstwist.configuration.reading import Effective
from kmstwist.discovery.lookup.dns_names import identity
from kmstwist.gateway.ownaddress import is_own_address
from kmstwist.lab.keys import KEY_FILE_NAME, LabKeyError, default_state_dir
from kmstwist.shown import has_password, url_without_password
from kmstwist.startup import StartupError
from kmstwist.system.secrets import lets_others_in

#: Interfaces with which an endpoint listens on all addresses.
_EVERYWHERE = ("", "::", "0.0.0.0")  # noqa: S104


def state_dir(config: Config) -> Path:
    """The state folder. Raises `StartupError` if none is named and the user has no home."""
    try:
        return Path(config.server.state_dir) if config.server.state_dir else default_state_dir()
    except LabKeyError as error:
        raise StartupError.of(error) from None


def lab_key_file(config: Config) -> Path:
    """The file of the lab's key: another lab's if one is named. Raises `StartupError` as `state_dir` does."""
    return Path(config.lab.key) if config.lab.key else state_dir(config) / KEY_FILE_NAME


def workers_dir(config: Config) -> Path:
    """The folder of the workers' control sockets: the server's own, if the workers may make them there.

    If root made the server's socket, in a folder of root's, the workers' are in the state folder.
    """
    folder = run_dir(config).absolute()
    while not os.path.exists(folder):
        folder = folder.parent
    return run_dir(config) if os.access(folder, os.W_OK | os.X_OK, effective_ids=True) else state_dir(config)


def run_dir(config: Config) -> Path:
    """The folder of the control socket, by default the state folder. Raises `StartupError` as `state_dir` does."""
    return Path(config.server.run_dir) if config.server.run_dir else state_dir(config)


def listening_ports(config: Config) -> frozenset[int]:
    """The TCP ports this server listens on, as far as the configuration says."""
    if not config.server.listen:
        return frozenset({config.server.port})
    return frozenset(port for text in config.server.listen if (port := _described_port(text)) is not None)


def first_port(config: Config) -> int | None:
    """The first TCP port that the configuration names for this server; None if it names none."""
    if not config.server.listen:
        return config.server.port
    return next((port for text in config.server.listen if (port := _described_port(text))), None)


def own_address(config: Config) -> HostPort | None:
    """Where a client on this machine reaches this server; None if that is unknown, or if KMS alone is not enough.

    That is so for an endpoint within another (`haproxy:tcp:1688`), over TLS, or on a socket that others opened.
    """
    if not config.server.listen:
        return HostPort("127.0.0.1", config.server.port) if config.server.port else None
    for text in config.server.listen:
        port = _described_port(text)
        if port and text.startswith(("tcp:", "tcp6:")):
            parts = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", text)]
            named = next((part.removeprefix("interface=") for part in parts if part.startswith("interface=")), "")
            return HostPort(
                ("::1" if text.startswith("tcp6:") else "127.0.0.1") if named in _EVERYWHERE else named, port
            )
    return None


def _described_port(text: str) -> int | None:
    """The TCP port of a Twisted endpoint's description, 0 for any; None if it is not a TCP endpoint.

    The port comes first or has a name: tcp:1688:backlog=50, tcp6:port=1688. An endpoint for HAProxy has another one
    within it: haproxy:tcp:1688.
    """
    found = re.match(r"(?:haproxy:)?(?:tcp6?|ssl|tls):(?:.*?(?<!\\):)?(?:port=)?(\d+)(?=:|$)", text)
    return None if found is None else int(found[1])


def server_name(config: Config) -> str:
    """What distinguishes the names of this server's files from other servers': its first TCP port.

    A server that listens only on Unix sockets uses the path of the first; one whose sockets others open uses `port`.
    """
    port = first_port(config)
    return unix_name(config) or str(config.server.port if port is None else port)


def unix_name(config: Config) -> str | None:
    """The name of a server that listens only on Unix sockets; None for any other."""
    if first_port(config) is None:
        for text in config.server.listen:
            if text.startswith("unix:"):
                path = re.split(r"(?<!\\):", text)[1].removeprefix("address=").replace("\\:", ":")
                return f"unix-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    return None


def listens_at(config: Config, address: str, port: int) -> bool:
    """Whether this server gets what is sent to this address, a text, and port; False for another machine's address."""
    if port not in listening_ports(config) or not is_own_address(address):
        return False
    endpoints = [text for text in config.server.listen if _described_port(text) == port]
    return not endpoints or any(_takes(text, _plain_address(address)) for text in endpoints)


def _takes(endpoint: str, address: IPv4Address | IPv6Address) -> bool:
    """Whether an endpoint with that port gets what is sent to this address of the machine."""
    parts = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", endpoint)]
    named = next((part.removeprefix("interface=") for part in parts if part.startswith("interface=")), "")
    if named not in _EVERYWHERE:
        # It is not known yet which address the name has.
        return not is_address(named) or _plain_address(named) == address
    # An IPv6 endpoint accepts IPv4, too.
    return address.version == 4 or "tcp6" in parts[:2]


def _plain_address(text: str) -> IPv4Address | IPv6Address:
    """An address, however it is written; an IPv4 address mapped into IPv6 as IPv4."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def refuse_ourselves(config: Config) -> None:
    """Raise `StartupError` if an upstream is this gateway itself, by an address or by this machine's own name."""
    for upstream in config.gateway.upstreams:
        where = upstream.host_port
        if any(listens_at(config, address, where.port) for address in _addresses(where.host)):
            raise StartupError(
                f"upstream {upstream.label} is this gateway itself", "name the licensed KMS host, or listen elsewhere"
            )


def _addresses(host: str) -> list[str]:
    """The addresses of a host that are known without the network: its own, or those of this machine's name."""
    if is_address(host):
        return [host]
    if host == "localhost":
        return ["127.0.0.1"]
    if host.lower() != socket.gethostname().lower():
        return []
    with suppress(OSError):
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return []


def refuse_open_passwords(effective: Effective) -> None:
    """Raise `StartupError` if the configuration's file contains a password and is open to others.

    The URLs of `[notify]` targets may contain one in any part.
    """
    file = effective.file
    if file is None:
        return
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        # It was read before and is gone now: the values that were read stay in force.
        return
    if not lets_others_in(mode):
        return
    lines = [number for number, line in enumerate(text.splitlines(), 1) if _states_password(line)]
    for place in (("audit", "forward_to"), ("web", "store")):
        url = getattr(getattr(effective.config, place[0]), place[1])
        if place in effective.lines and isinstance(url, str) and url_without_password(url) != url:
            lines.append(effective.lines[place])
    targets = effective.lines.get(("notify", "targets"))
    if not lines and effective.config.notify.targets and targets is not None:
        raise StartupError(
            "the URLs of [notify] targets may hold passwords and tokens, and the file is open to others "
            f"(mode {stat.S_IMODE(mode):04o})",
            f"chmod 0640 {file}",
            f"{file}:{targets}",
        )
    if lines:
        raise StartupError(
            f"there is a password here, and the file is open to others (mode {stat.S_IMODE(mode):04o})",
            f"chmod 0640 {file}, and then change the password, or keep it in the file that PGPASSFILE names "
            "(docs/central-store.md)",
            f"{file}:{min(lines)}",
        )


def _states_password(line: str) -> bool:
    return not line.lstrip().startswith("#") and has_password(line)


def known_hosts(config: Config, own_name: str, upstreams: Sequence[str] | None = None) -> set[str]:
    """The KMS hosts that are known, in the form of `identity`: the configured ones, the upstreams, and this server."""
    if upstreams is None:
        upstreams = [upstream.host_port.host for upstream in config.gateway.upstreams]
    return {identity(host) for host in (*config.dns.watch.hosts, *upstreams, own_name)}
