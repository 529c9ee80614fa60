"""A link-local address is bound with the number of its link."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from kmstwist.gateway.ownaddress import is_own_address
from kmstwist.process.listening import try_described
from kmstwist.startup import StartupError
from kmstwist.system.binding import bindable
from kmstwist.web.service import try_address
from tests.ports import free_port


@pytest.fixture
def on_a_link() -> str:
    """A link-local address of this machine."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        digits, *_, link = line.split()
        if digits.startswith("fe80"):
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))}%{link}"
    pytest.skip("no interface of this machine has a link-local address")


def test_the_link_is_given_by_its_number() -> None:
    assert bindable("fe80::1%lo", 1688) == ("fe80::1%lo", 1688, 0, socket.if_nametoindex("lo"))
    assert bindable("::1", 1688) == ("::1", 1688)
    assert bindable("", 1688) == ("", 1688)


def test_an_address_on_an_unknown_link_is_not_ours() -> None:
    with pytest.raises(OSError) as raised:
        bindable("fe80::1%none0", 1688)
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_our_own_link_local_address_is_ours_and_can_be_listened_on(on_a_link: str) -> None:
    assert is_own_address(on_a_link)
    try_described(f"tcp:{free_port()}:interface=" + on_a_link.replace(":", r"\:"))
    try_address(HostPort(on_a_link, free_port()))


def test_a_link_local_address_without_its_link_gets_the_cure() -> None:
    with pytest.raises(StartupError, match=r"name the interface of a link-local address"):
        try_described(rf"tcp:{free_port()}:interface=fe80\:\:1")
