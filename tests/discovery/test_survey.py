from __future__ import annotations

from fractions import Fraction
from random import Random

from pytest_twisted import ensureDeferred

from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem
from kmstwist.discovery.lookup.search import Origin, SearchDomain
from kmstwist.discovery.probing import from_report, rpc_prober
from kmstwist.discovery.survey import survey
from kmstwist.findings import Health
from kmstwist.transport.probe import ContextReport, ProbeReport
from tests.discovery.fakes import FakeLookup, FakeNetwork, failed, record, result
from tests.ports import free_port
from tests.reactors import reactor

CORP = SearchDomain("corp.test", Origin.SEARCH_LIST)
LAB = SearchDomain("lab.test", Origin.SEARCH_LIST)


def test_every_domain_host_and_address_is_listed_in_the_order_of_trying() -> None:
    lookup = FakeLookup(
        {"corp.test": [record("b.test", priority=1), record("a.test", weight=1)]},
        {"a.test": ["192.0.2.1", "2001:db8::1"], "b.test": ["192.0.2.2"]},
    )
    network = FakeNetwork("2001:db8::1")

    corp, lab = result(survey(lookup, [CORP, LAB], Random(1), network, {"a.test"}))

    assert [host.record.target for host in corp.hosts] == ["a.test", "b.test"]
    assert [host.probability for host in corp.hosts] == [Fraction(1), Fraction(1)]
    assert [(address, probed.answers) for address, probed in corp.hosts[0].probes] == [
        ("2001:db8::1", True),
        ("192.0.2.1", False),
    ]
    assert [host.answers for host in corp.hosts] == [True, False]
    assert [host.stranger for host in corp.hosts] == [False, True]
    assert isinstance(lab.answer, LookupFailed)
    assert lab.answer.problem is LookupProblem.NO_SUCH_NAME


def test_known_names_are_looked_up_and_not_contacted_and_each_address_once() -> None:
    lookup = FakeLookup(
        {"corp.test": [record("a.test"), record("a.test", priority=9), record("gone.test"), record("")]},
        {"a.test": ["192.0.2.1"], "other.test": ["192.0.2.99"]},
    )
    network = FakeNetwork()

    (corp,) = result(survey(lookup, [CORP], Random(1), network, {"other.test"}))

    assert network.probed == ["192.0.2.1:1688"]
    assert sorted(lookup.asked) == ["SRV corp.test", "host a.test", "host gone.test", "host other.test"]
    assert [len(host.probes) for host in corp.hosts if host.record.target == "a.test"] == [1, 1]


def test_without_known_hosts_none_is_called_a_stranger() -> None:
    lookup = FakeLookup({"corp.test": [record("a.test")]}, {"a.test": ["192.0.2.1"]})
    (corp,) = result(survey(lookup, [CORP], Random(1)))
    assert corp.hosts[0].stranger is None
    assert corp.hosts[0].probes == ()


def test_a_host_whose_addresses_are_unknown_keeps_its_place_with_the_reason() -> None:
    lookup = FakeLookup({"corp.test": [record("a.test")]}, {"a.test": failed(LookupProblem.TIMEOUT)})
    (corp,) = result(survey(lookup, [CORP], Random(1), FakeNetwork()))
    assert isinstance(corp.hosts[0].host, LookupFailed)
    assert not corp.hosts[0].answers


def test_a_probe_s_report_becomes_words_and_steps() -> None:
    report = ProbeReport(
        Health.HEALTHY,
        "a KMS host answers and listens",
        connect_ms=1.5,
        bind_ms=2.0,
        contexts=[
            ContextReport("KMS in NDR32", "rejected", False, "NDR32"),
            ContextReport("KMS in NDR64", "accepted", True, "NDR64"),
            ContextReport("bind time features 0x3", "accepted 0x3", True),
        ],
    )
    probed = from_report(report)
    assert probed.answers
    assert probed.speaks == "a KMS host answers and listens (NDR64)"
    assert probed.steps == (("connect", 1.5), ("bind", 2.0))
    assert probed.milliseconds == 3.5


def test_a_critical_report_does_not_count_as_an_answer() -> None:
    probed = from_report(ProbeReport(summary="connection refused"))
    assert (probed.answers, probed.speaks, probed.steps) == (False, "connection refused", ())


@ensureDeferred
async def test_the_rpc_prober_reports_a_refusal_in_its_result() -> None:
    probed = await rpc_prober(reactor, 5.0)("127.0.0.1", free_port())
    assert (probed.answers, probed.speaks) == (False, "connection refused")
