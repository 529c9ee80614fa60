"""The DNS servers and the search list of this machine, as its resolv.conf has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.system_dns import NoDnsServer, system_addresses, system_search_list, system_servers
from kmstwist.discovery.lookup.answers import LookupFailed
from kmstwist.discovery.lookup.resolver import Lookup
from tests.discovery.fakes import result
from tests.reactors import in_place_of_one


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr("kmstwist.discovery.client.system_dns.RESOLV_CONF", str(path))
    return path


def test_they_are_read_again_when_the_file_has_changed(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver 192.0.2.53\n")
    assert system_servers() == (HostPort("192.0.2.53", 53),)
    resolv_conf.write_text("nameserver 192.0.2.54\nnameserver 2001:db8::53\n")
    assert system_servers() == (HostPort("192.0.2.54", 53), HostPort("2001:db8::53", 53))


@pytest.mark.parametrize("text", [None, "", "search corp.test\n"])
def test_without_a_server_a_lookup_fails_rather_than_finds_nothing(resolv_conf: Path, text: str | None) -> None:
    if text is not None:
        resolv_conf.write_text(text)
    failed = result(Lookup(in_place_of_one(None)).service("corp.test")).value
    assert isinstance(failed, NoDnsServer)
    assert isinstance(failed, LookupFailed)
    assert str(failed) == f"This machine has no DNS server configured in {resolv_conf}; name one."
    assert not failed.says_no
    assert failed.server is None


def test_the_search_list_is_the_machine_s_own(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver 192.0.2.53\nsearch Lab.corp.test corp.test.\n")
    assert system_search_list() == ("lab.corp.test", "corp.test")


@pytest.mark.parametrize("search", ["", "search .\n"])
def test_a_machine_without_a_domain_has_an_empty_search_list(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "single")
    resolv_conf.write_text(f"nameserver 192.0.2.53\n{search}")
    assert system_search_list() == ()


class NamesOfItsOwn(Clock):
    """A reactor whose system is as slow with a name as the test is with `answer`."""

    @property
    def nameResolver(self) -> NamesOfItsOwn:
        return self

    def resolveHostName(self, receiver: Any, name: str) -> None:
        self.receiver = receiver

    def answer(self) -> None:
        for address in (IPv6Address("TCP", "::1", 0), IPv4Address("TCP", "127.0.0.1", 0)) * 2:
            self.receiver.addressResolved(address)
        self.receiver.resolutionComplete()


def test_the_systems_addresses_of_a_name_are_listed_once_in_its_order() -> None:
    reactor, found = NamesOfItsOwn(), list[Any]()
    Deferred.fromCoroutine(system_addresses(in_place_of_one(reactor), "localhost", 2.0)).addBoth(found.append)
    assert found == []
    reactor.answer()
    assert found == [("::1", "127.0.0.1")]


def test_a_slow_system_resolver_is_not_waited_for_and_may_answer_later() -> None:
    reactor, found = NamesOfItsOwn(), list[Any]()
    Deferred.fromCoroutine(system_addresses(in_place_of_one(reactor), "localhost", 2.0)).addBoth(found.append)
    reactor.advance(2.0)
    assert found == [()]
    reactor.answer()
    assert found == [()]
