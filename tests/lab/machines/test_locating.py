from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem, SrvAnswer
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.lab.machines import locating
from kmstwist.lab.machines.locating import LocateFailed, locator
from kmstwist.lab.machines.machine import MACHINE
from tests.lab.machines.conftest import Desk
from tests.reactors import in_place_of_one

from .conftest import result_of

SERVER = HostPort("10.0.0.1", 53)


class Dns:
    """DNS's answers: records or a problem for each domain. Remembers which domains and servers were asked."""

    def __init__(self) -> None:
        self.says: dict[str, list[SrvRecord] | LookupProblem] = {}
        self.asked: list[tuple[HostPort, str]] = []

    def __call__(self, reactor: object, servers: Sequence[HostPort]) -> Dns:
        self.servers = servers
        return self

    async def service(self, domain: str) -> SrvAnswer:
        self.asked.append((self.servers[0], domain))
        said = self.says.get(domain, LookupProblem.NO_SUCH_NAME)
        if isinstance(said, LookupProblem):
            raise LookupFailed(said, domain, "SRV", SERVER, 1.0)
        return SrvAnswer(domain, domain, tuple(said), SERVER)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    dns = Dns()
    monkeypatch.setattr(locating, "Lookup", dns)
    return dns


def locate(desk: Desk) -> list[HostPort]:
    desk.machine.dns_server = SERVER

    async def located() -> list[HostPort]:
        return await locator(in_place_of_one(None), random.Random(1))(desk.machine, desk.machine.licences[0])

    return result_of(located())


def test_hosts_come_in_the_order_of_their_priority(desk: Desk, dns: Dns) -> None:
    dns.says["corp.example"] = [SrvRecord(20, 0, 1688, "second"), SrvRecord(10, 0, 1700, "first")]
    assert locate(desk) == [HostPort("first", 1700), HostPort("second", 1688)]
    assert dns.asked == [(SERVER, "corp.example")]


def test_a_target_of_a_dot_means_that_there_is_no_host(desk: Desk, dns: Dns) -> None:
    dns.says["corp.example"] = [SrvRecord(0, 0, 0, "")]
    with pytest.raises(LocateFailed, match=r'DNS says that corp\.example has no KMS host: .* is "\."') as caught:
        locate(desk)
    assert caught.value.code == 0xC004F074


def test_the_lookup_domain_is_the_only_one_asked(desk: Desk, dns: Dns) -> None:
    desk.machine.scope(MACHINE).lookup_domain = "other.example"
    dns.says["other.example"] = [SrvRecord(0, 0, 1688, "kms")]
    assert locate(desk) == [HostPort("kms", 1688)]


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (LookupProblem.NO_SUCH_NAME, 0x8007232B),
        (LookupProblem.NO_RECORDS, 0x8007251D),
        (LookupProblem.SERVER_FAILURE, 0x8007232A),
        (LookupProblem.TIMEOUT, 0x8007232A),
    ],
)
def test_a_failed_lookup_is_the_code_windows_has_for_it(
    desk: Desk, dns: Dns, problem: LookupProblem, code: int
) -> None:
    dns.says["corp.example"] = problem
    with pytest.raises(LocateFailed) as caught:
        locate(desk)
    assert caught.value.code == code


def test_a_machine_without_a_domain_uses_this_computers_search_list(
    desk: Desk, dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.machine.domain = None
    monkeypatch.setattr(locating, "system_search_list", lambda: (".", "local.example"))
    dns.says["local.example"] = [SrvRecord(0, 0, 1688, "kms")]
    assert locate(desk) == [HostPort("kms", 1688)]
    monkeypatch.setattr(locating, "system_search_list", lambda: ())
    with pytest.raises(LocateFailed, match="knows no DNS domain") as caught:
        locate(desk)
    assert caught.value.code == 0x8007007B
