"""Requests that only the KMS host's events report: they are in every report, and each is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import Importer, ImportResult
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Bucket, Query, Report
from kmstwist.audit.store import insert_batch
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.upkeep.verify import verify
from kmstwist.audit.views.hints import reading_hints
from tests.audit.exports import Sample, as_csv, as_evtx, as_json_5, as_xml, request
from tests.audit.making import HOUR, START, known, new_store, opaque, uuid

AT = datetime.fromtimestamp(START / 1000, UTC)
OPEN = Privacy(PrivacyPolicy(), b"")
REFUSED = "0xC004F06C"

SAMPLES = [
    request(1, AT, "pc1.example.com"),
    request(2, AT + timedelta(hours=1), "pc2.example.com", REFUSED, vm=1),
    Sample(3, AT + timedelta(days=7), tuple(request(3, AT, "pc1.example.com").data)),
    request(4, AT + timedelta(days=7, hours=1), "pc3.example.com"),
]


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def bring_in(
    store: Engine, folder: Path, content: bytes, privacy: Privacy = OPEN, resolve: Sequence[str] = ()
) -> ImportResult:
    path = folder / "export"
    path.write_bytes(content)
    return Importer(store, privacy, lambda _: resolve).import_file(path)


def ask(store: Engine, name: str, **question: Any) -> Report[Any]:
    with reading(store) as connection:
        return REPORTS[name].ask(connection, Query(now=AT + timedelta(days=8), **question))


def everything(store: Engine) -> dict[str, list[dict[str, Any]]]:
    with reading(store) as connection:
        return {
            name: [dict(row._mapping) for row in connection.execute(select(table))]
            for name, table in schema.metadata.tables.items()
        }


def records(store: Engine) -> list[dict[str, Any]]:
    return everything(store)["records"]


def sums(store: Engine) -> list[list[dict[str, Any]]]:
    found = everything(store)
    return [sorted(found[each.name], key=repr) for each in SUMS]


def test_reports_come_from_a_hosts_log_alone(store: Engine, tmp_path: Path) -> None:
    result = bring_in(store, tmp_path, as_xml(SAMPLES))
    assert (result.imported, result.joinable, result.joined, result.alone) == (4, 4, 0, 4)
    clients = {row.machine: (row.days_left, row.last_status, row.calls) for row in ask(store, "clients").rows}
    assert clients == {
        "pc1.example.com": (179, 0, 2),
        "pc2.example.com": (None, 0xC004F06C, 1),
        "pc3.example.com": (179, 0, 1),
    }
    assert [row.machine for row in ask(store, "expiring", days=180).rows] == ["pc1.example.com", "pc3.example.com"]
    (count,) = ask(store, "count").rows
    assert (count.needed, count.clients, count.reached) == (25, 3, False)
    (product,) = ask(store, "products").rows
    assert (product.machines, product.virtual, product.networks) == (3, 1, None)
    (failure,) = ask(store, "failures").rows
    assert (failure.status, failure.reason, failure.calls, failure.clients) == (0xC004F06C, "", 1, 1)
    by_host = ask(store, "activity", by=Bucket.UPSTREAM).rows
    assert [(row.calls, row.granted) for row in by_host] == [(4, 3)]
    with reading(store) as connection:
        assert [line[:12] for line in reading_hints(connection, "clients")] == ["1 product ha"]
        # Hosts log no addresses.
        of_a_network = list(reading_hints(connection, "clients", of_a_network=True))
    assert [line[:33] for line in of_a_network[:-1]] == ["no gateway has written to this st"]
    assert verify(store) == []


def test_failures_of_two_machines_without_an_address_are_those_of_two_clients(store: Engine, tmp_path: Path) -> None:
    samples = [request(number, AT, f"pc{number}", REFUSED) for number in (1, 2)]
    bring_in(store, tmp_path, as_xml(samples))
    (failure,) = ask(store, "failures").rows
    assert (failure.calls, failure.clients) == (2, 2)


def test_a_cloned_id_is_found_in_a_hosts_log(store: Engine, tmp_path: Path) -> None:
    one, other = (request(number, AT, f"pc{number}") for number in (1, 2))
    cloned = Sample(2, other.when, (*other.data[:3], one.data[3], *other.data[4:]))
    bring_in(store, tmp_path, as_xml([one, cloned]))
    (found,) = ask(store, "duplicates").rows
    assert found.number == 2


@pytest.mark.parametrize("again", [as_xml, as_evtx, as_json_5, as_csv])
def test_importing_again_in_whatever_format_counts_nothing_twice(store: Engine, tmp_path: Path, again: Any) -> None:
    bring_in(store, tmp_path, as_xml(SAMPLES))
    before = everything(store)
    result = bring_in(store, tmp_path, again(SAMPLES))
    assert (result.imported, result.known, result.alone) == (0, 4, 4)
    assert everything(store) == before


def test_a_format_that_names_the_host_completes_what_another_left_out(store: Engine, tmp_path: Path) -> None:
    nameless = [Sample(each.number, each.when, each.data, computer="") for each in SAMPLES]
    bring_in(store, tmp_path, as_xml(nameless))
    assert {row["upstream"] for row in records(store)} == {None}
    bring_in(store, tmp_path, as_evtx(SAMPLES))
    assert {row["upstream"] for row in records(store)} == {"KMS1.example.com"}
    assert len(records(store)) == 4
    assert verify(store) == []


@pytest.mark.parametrize("first", ["records", "events"])
def test_a_request_that_a_gateway_has_too_counts_once_whichever_came_first(
    store: Engine, tmp_path: Path, first: str
) -> None:
    of_gateway = [opaque(START + 300, "10.0.0.1"), opaque(START + HOUR + 200, "10.0.0.2", hresult=0xC004F06C)]
    if first == "records":
        insert_batch(store, of_gateway)
        bring_in(store, tmp_path, as_xml(SAMPLES))
    else:
        bring_in(store, tmp_path, as_xml(SAMPLES))
        insert_batch(store, of_gateway)
        # The gateway's records of a central store may come later: the next export has the events again.
        bring_in(store, tmp_path, as_xml(SAMPLES))
    found = sorted((row["at"], row["machine"], row["gateway"], row["client"]) for row in records(store))
    assert found == [
        (START + 300, "pc1.example.com", "gw1", "10.0.0.1"),
        (START + HOUR + 200, "pc2.example.com", "gw1", "10.0.0.2"),
        (START + 7 * 24 * HOUR, "pc1.example.com", "", ""),
        (START + 7 * 24 * HOUR + HOUR, "pc3.example.com", "", ""),
    ]
    assert sum(row.calls for row in ask(store, "clients").rows) == 4
    assert verify(store) == []


def test_it_makes_no_difference_whether_records_or_events_come_first(tmp_path: Path) -> None:
    of_gateway = [opaque(START + 300, "10.0.0.1"), opaque(START + 900, "10.0.0.2"), known(START + HOUR, "pc9")]
    samples = [*SAMPLES, request(7, AT + timedelta(seconds=1), "pc7"), request(9, AT + timedelta(hours=1), "pc9")]
    stores = []
    for first in ("records", "events"):
        folder = tmp_path / first
        folder.mkdir()
        engine = new_store(folder)
        if first == "events":
            bring_in(engine, folder, as_xml(samples))
        insert_batch(engine, of_gateway)
        bring_in(engine, folder, as_xml(samples))
        assert verify(engine) == []
        stores.append(engine)
    assert sums(stores[0]) == sums(stores[1])


def test_a_request_that_the_gateway_could_read_itself_counts_once(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(START + 100, "pc1.example.com", act_id=uuid("Windows 10 Enterprise"))])
    result = bring_in(store, tmp_path, as_xml(SAMPLES[:1]))
    assert (result.joined, result.alone) == (1, 0)
    assert len(records(store)) == 1


def test_in_doubt_a_request_counts_by_the_gateway_s_record_only(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START, "10.0.0.1"), opaque(START + 1000, "10.0.0.2")])
    samples = [request(1, AT, "pc1"), request(2, AT + timedelta(seconds=1), "pc2")]
    result = bring_in(store, tmp_path, as_xml(samples))
    assert (result.joined, result.alone) == (0, 0)
    assert len(records(store)) == 2


@pytest.mark.parametrize("off", [180, -95, 3000])
def test_a_wrong_clock_of_a_host_is_reported(store: Engine, tmp_path: Path, off: int) -> None:
    # Of requests that do not come like clockwork.
    seconds = [7 * 900 * number + 211 * number**2 % 4000 for number in range(12)]
    insert_batch(store, [opaque(START + each * 1000, f"10.0.0.{at}") for at, each in enumerate(seconds)])
    samples = [request(at, AT + timedelta(seconds=each + off), f"pc{at}") for at, each in enumerate(seconds)]
    result = bring_in(store, tmp_path, as_xml(samples))
    assert (result.joined, result.alone) == (0, 12)
    assert result.apart is not None
    assert abs(result.apart - off) <= 2
    with_window = Importer(store, OPEN, lambda _: (), window=(abs(off) + 10) * 1000).import_file(tmp_path / "export")
    assert with_window.apart is None
    # If another's is as near, there is doubt, and it counts once, too.
    assert with_window.alone == 0
    assert len(records(store)) == 12


def test_clocks_are_not_blamed_where_nothing_speaks_for_it(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 60_000 * number) for number in range(60)])
    samples = [request(number, AT + timedelta(seconds=60 * number + 30), f"pc{number}") for number in range(12)]
    result = bring_in(store, tmp_path, as_xml(samples))
    assert (result.joined, result.alone, result.apart) == (0, 12, None)


def test_names_that_are_hashed_stay_hashed(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.HASH, cmid=Keep.TRUNCATE), bytes(32))
    bring_in(store, tmp_path, as_xml(SAMPLES), privacy)
    assert {row["machine"] for row in records(store)} == {
        privacy.machine(f"pc{number}.example.com") for number in (1, 2, 3)
    }
    assert len(ask(store, "clients").rows) == 3


def test_without_names_nothing_is_made_up(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.DROP), b"")
    assert bring_in(store, tmp_path, as_xml(SAMPLES), privacy).alone == 0
    assert records(store) == []
