from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import V5
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.machine import MACHINE, Machine
from kmstwist.lab.machines.store import MachineStore
from tests.lab.machines.conftest import Desk
from tests.waiting import PATIENCE

from .conftest import DAY, OFFICE, START, WINDOWS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MachineStore]:
    store = MachineStore(tmp_path / "state" / "machines.sqlite")
    yield store
    store.close()


def test_a_machine_comes_back_as_it_was(store: MachineStore, desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.slmgr("/skms-domain", "other.example")
    desk.ospp("/sethst:kms9")
    machine = desk.machine
    machine.dns_server = HostPort("10.0.0.1", 53)
    machine.new_events += desk.events
    store.add(machine)
    back = store.get("pc1")
    for name in (
        "name",
        "cmid",
        "previous_cmid",
        "created",
        "rearms_left",
        "domain",
        "dns_server",
        "virtual",
        "version",
    ):
        assert getattr(back, name) == getattr(machine, name), name
    assert (back.caching, back.cached, back.key_in_registry) == (True, HostPort("kms", 1688), True)
    assert back.settings == machine.settings
    for old, new in zip(machine.licences, back.licences, strict=True):
        for name in ("status", "expires", "next_attempt", "last_success", "host_id", "activation_interval", "cmid"):
            assert getattr(old.client, name) == getattr(new.client, name), name
        assert (old.partial_key, old.installs, old.rearms_left) == (new.partial_key, new.installs, new.rearms_left)
    assert store.events("PC1") == desk.events
    assert store.events("PC1", last=1) == desk.events[-1:]


HOLDER = """
import sys
from pathlib import Path
from kmstwist.lab.machines.machine import MACHINE
from kmstwist.lab.machines.store import MachineStore

store = MachineStore(Path(sys.argv[1]))
with store.held(["PC1"], lambda: None):
    machine = store.get("PC1")
    print("held", flush=True)
    sys.stdin.readline()
    machine.scope(MACHINE).host = "kms2"
    store.save(machine)
    print("saved", flush=True)
"""


def test_a_machine_that_another_process_holds_is_waited_for(store: MachineStore, desk: Desk, tmp_path: Path) -> None:
    store.add(desk.machine)
    path = tmp_path / "state" / "machines.sqlite"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        told, said = other.stdin, other.stdout
        assert told is not None
        assert said is not None
        assert said.readline() == "held\n"
        waited: list[str] = []

        def waiting() -> None:
            waited.append("waiting")
            told.write("go on\n")
            told.flush()

        # The other machine is free.
        with store.held(["PC2"], waiting):
            assert waited == []
        with store.held(["pc1"], waiting):
            assert waited == ["waiting"]
            machine = store.get("PC1")
            assert machine.scope(MACHINE).host == "kms2"
        assert other.wait(PATIENCE) == 0


def test_a_lock_that_cannot_be_made_is_reported(store: MachineStore, tmp_path: Path) -> None:
    (tmp_path / "state" / "machines.lock").mkdir()
    with (
        pytest.raises(LabFileError, match=r"machines\.lock cannot be written \(Is a directory\)"),
        store.held(["a"], lambda: None),
    ):
        pass


def test_many_machines_are_read_with_three_questions(store: MachineStore) -> None:
    for number in range(40):
        machine = Machine(f"PC{number:02}", UUID(int=number), START)
        machine.install_key(machine.add_product(OFFICE, START), START)
        machine.install_key(machine.add_product(WINDOWS, START), START)
        machine.scope(MACHINE).port = 1000 + number
        store.add(machine)
    asked: list[str] = []
    assert store._connection is not None
    store._connection.set_trace_callback(asked.append)
    machines = store.all()
    assert len([each for each in asked if each.startswith("SELECT")]) == 3
    assert [machine.name for machine in machines] == [f"PC{number:02}" for number in range(40)]
    for number, machine in enumerate(machines):
        assert [licence.product for licence in machine.licences] == [OFFICE, WINDOWS]
        assert machine.scope(MACHINE).port == 1000 + number


def test_saving_again_adds_events_and_replaces_the_rest(store: MachineStore, desk: Desk) -> None:
    store.add(desk.machine)
    desk.fails("/ato")
    desk.machine.new_events += desk.events
    desk.machine.scope(MACHINE).host = "kms"
    store.save(desk.machine)
    store.save(desk.machine)
    assert len(store.events("PC1")) == 2
    assert store.get("PC1").scope(MACHINE).host == "kms"
    assert store.count() == 1


def test_machine_names_are_unique_in_any_case(store: MachineStore) -> None:
    store.add(Machine("PC1", UUID(int=1), START))
    with pytest.raises(Refused, match="already"):
        store.add(Machine("pc1", UUID(int=2), START))
    assert [machine.cmid for machine in store.all()] == [UUID(int=1)]


def test_a_missing_machine_is_reported(store: MachineStore) -> None:
    for act in (store.get, store.delete):
        with pytest.raises(Refused, match='no lab machine "PC9": kmstwist lab machine list'):
            act("PC9")


def test_a_deleted_machine_takes_everything_with_it(store: MachineStore, desk: Desk) -> None:
    desk.fails("/ato")
    desk.machine.new_events += desk.events
    store.add(desk.machine)
    store.delete("PC1")
    assert store.all() == []
    store.add(Machine("PC1", UUID(int=1), START))
    assert store.events("PC1") == []
    assert store.get("PC1").licences == []


def test_a_file_that_is_not_a_store_is_reported_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "machines.sqlite"
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(LabFileError, match="move it away"):
        MachineStore(path)


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "machines.sqlite"
    store = MachineStore(path)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(LabFileError, match="newer kmstwist"):
        MachineStore(path)


def test_generalising_gives_a_new_cmid_and_grace_again(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    machine = desk.machine
    machine.generalise(UUID(int=99), START + 5 * DAY)
    assert (machine.cmid, machine.previous_cmid, machine.cached) == (UUID(int=99), UUID(int=77), None)
    request = machine.licences[0].client.request(START + 5 * DAY)
    assert (request.cmid, request.previous_cmid) == (UUID(int=99), UUID(int=77))
    assert (request.license_status, request.minutes_left) == (LicenseStatus.OOB_GRACE, 43_200)


def test_an_aged_machine_is_where_time_would_have_brought_it(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.machine.age(181 * DAY)
    client = desk.machine.licences[0].client
    assert client.advance(START) is LicenseStatus.OOT_GRACE
    assert client.minutes_left(START) == 29 * 1440


def test_the_kms_version_is_the_machines(store: MachineStore) -> None:
    machine = Machine("OLD", UUID(int=5), START, version=V5)
    machine.install_key(machine.add_product(WINDOWS, START), START)
    machine.install_key(machine.add_product(OFFICE, START), START)
    store.add(machine)
    assert [licence.client.request(START).version for licence in store.get("OLD").licences] == [V5, V5]


def test_machines_of_an_earlier_version_are_upgraded_and_keep_their_state(tmp_path: Path, desk: Desk) -> None:
    path = tmp_path / "machines.sqlite"
    store = MachineStore(path)
    store.add(desk.machine)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE machine DROP COLUMN region")
        for column in ("trouble", "found_host", "found_port", "host_address"):
            connection.execute(f"ALTER TABLE machine_licence DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    again = MachineStore(path)
    machine = again.get("PC1")
    again.close()
    assert (machine.cmid, machine.region) == (desk.machine.cmid, "en-US")
    assert [licence.partial_key for licence in machine.licences] == ["2YT43", "6F7TH"]
    assert [(licence.trouble, licence.found, licence.host_address) for licence in machine.licences] == [
        ("", None, None)
    ] * 2


def test_what_activated_a_machine_and_what_troubles_it_last(store: MachineStore, desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.machine.region = "de-DE"
    desk.machine.licences[1].trouble = "not-bound"
    store.add(desk.machine)
    machine = store.get("PC1")
    windows, office = machine.licences
    assert (str(windows.found), windows.host_address) == ("kms:1688", "10.0.0.9")
    assert (machine.region, office.trouble, office.found) == ("de-DE", "not-bound", None)
