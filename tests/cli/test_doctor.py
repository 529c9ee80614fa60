"""`kmstwist doctor` says what is wrong, each with its cure, and its exit status is the worst of them."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kmstwist.audit.central.examine import Examined
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.configuration.model import Config
from kmstwist.findings import Health
from kmstwist.health import checks, stores
from kmstwist.health.case import Case
from kmstwist.health.network_checks import own_record
from kmstwist.health.running import Running
from kmstwist.server.monitoring import with_health
from kmstwist.telemetry.counters import Snapshot
from tests.discovery.named import StartNamed, start_named
from tests.ordinary import as_nobody, needs_root, passable
from tests.ports import free_port
from tests.system.running import Server, kmstwist

__all__ = ["passable", "start_named"]


def diagnose(*options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the worst finding of each check."""
    result = kmstwist("doctor", "--json", "--timeout", "1", *options)
    assert result.returncode in (0, 1, 2), result.stderr
    report = json.loads(result.stdout)
    order = ["OK", "WARNING", "CRITICAL"]
    assert order.index(report["verdict"]) == result.returncode
    worst: dict[str, dict[str, Any]] = {}
    for row in report["findings"]:
        if row["check"] not in worst or order.index(row["verdict"]) > order.index(worst[row["check"]]["verdict"]):
            worst[row["check"]] = row
    return result.returncode, worst


def test_every_mistake_in_a_configuration_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "kms.toml"
    config.write_text("[server]\nport = 0.5\nbogus = 1\n")
    result = kmstwist("doctor", "--json", "--config", str(config))
    findings = json.loads(result.stdout)["findings"]
    assert result.returncode == 2
    assert [row["check"] for row in findings] == ["configuration"] * 2
    assert any("bogus" in row["finding"] for row in findings)


def test_an_upstream_that_is_the_gateway_itself_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    """The server does not start with it."""
    config, port = tmp_path / "kms.toml", free_port()
    config.write_text(
        f'[server]\nport = {port}\nstate_dir = "{tmp_path}"\n'
        f'[[gateway.upstreams]]\naddress = "127.0.0.1:{port}"\nname = "kms1"\n'
    )
    status, found = diagnose("--config", str(config))
    assert (status, found["configuration"]["verdict"]) == (2, "CRITICAL")
    assert found["configuration"]["finding"] == "upstream kms1 is this gateway itself, so the server does not start"
    assert found["configuration"]["cure"] == "name the licensed KMS host, or listen elsewhere"
    said = json.loads(kmstwist("doctor", "--json", "--config", str(config)).stdout)["findings"]
    assert [row["verdict"] for row in said if row["check"] == "configuration"] == ["CRITICAL"]
    checked = kmstwist("config", "check", str(config))
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr == (
        f"Error: {config}: upstream kms1 is this gateway itself; name the licensed KMS host, or listen elsewhere.\n"
    )


def test_servers_that_do_not_answer_are_reported_with_the_cure(tmp_path: Path) -> None:
    config, dead, taken = tmp_path / "kms.toml", free_port(), socket.create_server(("::", 0), family=socket.AF_INET6)
    with taken:
        port = taken.getsockname()[1]
        config.write_text(
            f'[server]\nport = {port}\nstate_dir = "{tmp_path}/state"\n'
            f'[dns]\nservers = ["127.0.0.1:{dead}"]\n[gateway]\ndiscover = "kms.invalid"\n'
            f'[[gateway.upstreams]]\naddress = "127.0.0.1:{dead}"\nname = "kms1"\n'
        )
        status, found = diagnose("--config", str(config))
    assert status == 2
    assert (found["server"]["verdict"], found["port"]["verdict"]) == ("WARNING", "CRITICAL")
    assert found["port"]["finding"] == f"port {port} is in use by another program"
    assert "connection refused" in found["host kms1"]["finding"]
    assert f"kmstwist probe 127.0.0.1:{dead}" in found["host kms1"]["cure"]
    assert found["domain kms.invalid"]["verdict"] == "CRITICAL"
    assert found["files"]["finding"] == f"there is no state folder {tmp_path}/state yet"
    assert all(row["cure"] for row in found.values() if row["verdict"] != "OK")


@pytest.mark.needs("named", "dig")
def test_a_record_is_right_only_where_it_names_our_host_and_our_port(tmp_path: Path, start_named: StartNamed) -> None:
    record = "_vlmcs._tcp IN SRV 0 100 {} {}\n"
    other = record.format(1688, "licensed.corp.test.")
    named = start_named(
        {
            "right.test": record.format(1700, "GW.corp.test.") + other,
            "port.test": record.format(1688, "gw.corp.test.") + other,
            "missing.test": other,
            "none.test": "",
            "dot.test": record.format(0, "."),
        }
    )
    config = tmp_path / "kms.toml"
    config.write_text(
        f'[server]\nport = 1700\nstate_dir = "{tmp_path}"\n[dns]\nservers = ["{named.server}"]\n'
        f"[dns.publish]\nweight = 7\nhost = 'gw.corp.test'\ndomains = {list(named.zones)}\n"
    )
    _, worst = diagnose("--config", str(config), "--timeout", "30")
    found = {zone: worst[f"record in {zone}"] for zone in named.zones}
    assert {zone: row["verdict"] for zone, row in found.items()} == {
        "right.test": "OK",
        "port.test": "WARNING",
        "missing.test": "CRITICAL",
        "none.test": "CRITICAL",
        "dot.test": "CRITICAL",
    }
    assert "but clients should come to gw.corp.test:1700" in found["port.test"]["finding"]
    assert found["port.test"]["cure"] == (
        "kmstwist dns publish --domain port.test --host gw.corp.test --port 1700 --priority 0 --weight 7; and remove "
        "the other: kmstwist dns withdraw --domain port.test --host gw.corp.test --port 1688 --priority 0 --weight 100"
    )
    assert "names licensed.corp.test:1688" in found["missing.test"]["finding"]
    assert "does not exist" in found["none.test"]["finding"]
    assert found["dot.test"]["finding"].endswith("_vlmcs._tcp.dot.test names no host: its target is .")
    for zone in ("missing.test", "none.test", "dot.test"):
        assert f"kmstwist dns publish --domain {zone} --host gw.corp.test --port 1700" in found[zone]["cure"]


def test_our_record_has_this_machines_name_and_the_port_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.health.network_checks.socket.getfqdn", lambda: "GW.corp.test")

    def record(**sections: Any) -> tuple[str, int | None]:
        return own_record(Config.model_validate(sections))

    assert record() == ("gw.corp.test", 1688)
    assert record(server={"port": 1700}, dns={"publish": {"host": "kms.corp.test"}}) == ("kms.corp.test", 1700)
    assert record(server={"listen": ["tcp:1701"]}) == ("gw.corp.test", 1701)
    assert record(server={"listen": ["tcp:1701", "tcp:1702"]}) == ("gw.corp.test", None)
    assert record(server={"listen": ["tcp:1701"]}, dns={"publish": {"port": 1688}}) == ("gw.corp.test", 1688)


def case(tmp_path: Path, **changes: Any) -> Case:
    values: dict[str, Any] = {"config": Config(), "file": None, "state_dir": tmp_path, **changes}
    return Case(**values)


def test_a_state_folder_that_others_may_enter_is_odd(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = list(checks.check_files(case(tmp_path)))
    assert [(one.health, one.cure) for one in found] == [(Health.DEGRADED, f"chmod 700 {tmp_path}")]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_file_of_another_owner_is_bad(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "lab.key").touch()
    os.chown(tmp_path / "lab.key", 65534, -1)
    found = list(checks.check_files(case(tmp_path)))
    assert found[-1].health is Health.DOWN
    assert found[-1].cure == f"chown root: {tmp_path}/lab.key"


def test_a_configuration_everybody_may_write_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "kms.toml"
    file.touch()
    file.chmod(0o666)
    found = list(checks.check_files(case(tmp_path, file=file)))
    assert found[0].cure == f"chmod 640 {file}"


@pytest.mark.parametrize(
    ("file", "running", "cure"),
    [
        (None, Running(why="nobody"), "start one: systemctl start kmstwist, or make run"),
        (
            Path("/etc/kmstwist/kmstwist.toml"),
            Running(why="nobody"),
            "start one: systemctl start kmstwist, or make run",
        ),
        (Path("/srv/a b.toml"), Running(why="nobody"), "start one: kmstwist -c '/srv/a b.toml' serve"),
        (None, Running(why="no answer", hung=True), "wait if it is busy; if it stays so, restart it"),
    ],
)
def test_the_cure_for_no_server_is_the_one_of_this_configuration(
    tmp_path: Path, file: Path | None, running: Running, cure: str
) -> None:
    config = Config.model_validate({"server": {"port": free_port()}})
    (found,) = checks.check_server(Case(config, file, tmp_path, running))
    assert found.cure.startswith(cure)


@needs_root
def test_a_state_folder_that_everybody_may_write_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "lab.key").write_bytes(bytes(32))
    folder.chmod(0o777)
    status, found = diagnose("--state-dir", str(folder), "--port", str(free_port()))
    assert status == 2
    assert found["files"]["health"] == "down"
    assert found["files"]["cure"] == f"chmod 700 {folder}"
    assert "server" in found


@needs_root
def test_a_state_folder_that_is_a_link_to_nowhere_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to(tmp_path / "gone")
    status, found = diagnose("--state-dir", f"{tmp_path}/state", "--port", str(free_port()))
    assert status == 2
    assert found["files"]["finding"] == f"{tmp_path}/state is a link to {tmp_path}/gone, which does not exist"
    assert found["files"]["cure"] == "make that folder, or the link anew"


def test_a_key_open_to_others_is_bad(tmp_path: Path) -> None:
    (tmp_path / "lab.key").write_bytes(bytes(32))
    (tmp_path / "lab.key").chmod(0o644)
    (found,) = checks.check_lab_key(case(tmp_path))
    assert (found.health, found.cure) == (Health.DOWN, f"chmod 600 {tmp_path}/lab.key")


def test_the_audits_store_is_opened(tmp_path: Path) -> None:
    store = tmp_path / "lab-audit.sqlite"
    assert [one.health for one in stores.check_audit(case(tmp_path))] == [Health.HEALTHY]
    engine = open_engine(str(store))
    migrate(engine)
    engine.dispose()
    assert [one.health for one in stores.check_audit(case(tmp_path))] == [Health.HEALTHY]
    store.write_bytes(b"no database at all" * 100)
    (found,) = stores.check_audit(case(tmp_path))
    assert found.health is Health.DOWN
    assert "kmstwist audit verify" in found.cure


def test_a_store_that_is_just_being_made_is_looked_at_and_not_written_to(tmp_path: Path) -> None:
    """A second writer at that moment makes the server's first start fail: "database is locked"."""
    store = tmp_path / "lab-audit.sqlite"
    store.touch()
    (found,) = stores.check_audit(case(tmp_path))
    assert found.health is Health.HEALTHY
    assert store.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [store]


def _folder(store: Path) -> None:
    store.mkdir()


def _pipe(store: Path) -> None:
    os.mkfifo(store)


def _another_programs(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database:
        database.execute("CREATE TABLE letters (text)")


def _of_revision(revision: str) -> Callable[[Path], None]:
    def make(store: Path) -> None:
        engine = open_engine(str(store))
        migrate(engine)
        engine.dispose()
        with closing(sqlite3.connect(store)) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            database.commit()

    return make


@pytest.mark.parametrize(
    ("make", "health", "cure"),
    [
        (_folder, Health.DOWN, "move it away, or name another store in [audit]"),
        (_pipe, Health.DOWN, "move it away, or name another store in [audit]"),
        (_another_programs, Health.DOWN, "name another store in [audit], or move this one away"),
        (_of_revision("0001"), Health.DEGRADED, "the next start of kmstwist upgrades it"),
        (_of_revision("9999"), Health.DOWN, "install that version or a later one"),
    ],
)
def test_what_is_not_a_store_of_this_version_has_its_own_cure(
    tmp_path: Path, make: Callable[[Path], None], health: Health, cure: str
) -> None:
    make(tmp_path / "lab-audit.sqlite")
    (found,) = stores.check_audit(case(tmp_path))
    assert found.health is health
    assert found.cure.startswith(cure)


CENTRAL = "postgresql+psycopg://db.example.com/kmstwist"


def told_by_server(central: dict[str, str], connected: int, **changes: Any) -> Running:
    """What the control socket answers "status" with in a server with these numbers."""
    snapshot = Snapshot("lab", 0.0, central=central, audit={"behind": 7, "connected": connected}, **changes)
    answered: list[dict[str, Any]] = []
    with_health(lambda _: {"mode": "lab", "connections": 0, "paused": False}, lambda: snapshot)({}).addCallback(
        answered.append
    )
    return Running(json.loads(json.dumps(answered[0])))


@pytest.mark.parametrize(
    ("central", "connected", "seen", "verdict", "words"),
    [
        ({CENTRAL: "no room"}, 0, "", "WARNING", "no room; 7 records waiting (it can be reached from here"),
        ({CENTRAL: "no room"}, 0, "gone", "WARNING", "no room; 7 records waiting"),
        ({CENTRAL: ""}, 1, "", "OK", "the server feeds"),
        ({CENTRAL: ""}, 1, "no password", "OK", "this command cannot, which has another environment: no password"),
        ({CENTRAL: ""}, 0, "gone", "WARNING", "cannot be fed: gone; 3 records waiting"),
        ({}, 0, "", "WARNING", "the running server does not feed"),
        (None, 0, "", "OK", "can be reached"),
    ],
)
def test_of_the_central_store_doctor_says_what_the_server_knows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    central: dict[str, str] | None,
    connected: int,
    seen: str,
    verdict: str,
    words: str,
) -> None:
    monkeypatch.setattr("kmstwist.audit.central.examine.examine", lambda *_, **__: Examined(CENTRAL, seen, 3))
    config = Config.model_validate({"audit": {"forward_to": "postgresql://db.example.com/kmstwist"}})
    running = Running() if central is None else told_by_server(central, connected)
    [finding] = stores.check_central_store(case(tmp_path, config=config, running=running))
    assert (finding.health.plugin, words in finding.text) == (verdict, True), finding.text
    assert bool(finding.cure) is (verdict != "OK")


def test_the_server_s_own_findings_are_reported(tmp_path: Path) -> None:
    running = told_by_server({CENTRAL: "gone"}, 0, published={"corp.test": "refused"}, leaving=True)
    found = {finding.check: finding for finding in checks.check_told(case(tmp_path, running=running))}
    assert list(found) == ["server", "record in corp.test"]
    assert found["server"].health is Health.DOWN
    assert found["record in corp.test"].text.startswith("the server says: our record in corp.test could not be")
    # One of an earlier version does not tell.
    earlier = Running({"mode": "lab", "connections": 0, "paused": False})
    assert list(checks.check_told(case(tmp_path, running=earlier))) == []


def test_a_socket_unit_is_found_by_its_port() -> None:
    listed = "/run/other.sock other.socket other.service\n[::]:1688 kmstwist.socket kmstwist.service\n"
    assert checks.find_socket_unit(listed, 1688) == "kmstwist.socket"
    assert checks.find_socket_unit(listed, 1689) == ""
    assert checks.find_socket_unit("", 1688) == ""


def test_a_running_server_is_found_wherever_its_state_is(tmp_path: Path) -> None:
    """It is asked who it is before anybody is told to end it."""
    config, port = tmp_path / "kms.toml", free_port()
    config.write_text(f'[server]\nlisten = ["127.0.0.2:{port}"]\n')
    with Server(tmp_path / "state", f"--config={config}") as server:
        assert server.port != port
        _, found = diagnose("--config", str(config), "--state-dir", str(tmp_path / "other"))
        assert found["server"]["verdict"] == "WARNING"
        assert f"its control socket is in {tmp_path}/state" in found["server"]["finding"]
        assert found["port"]["verdict"] == "OK"
        assert found["port"]["finding"].startswith(f"127.0.0.2:{port}: ")
        assert "end it" not in json.dumps(found)


@needs_root
def test_an_ordinary_user_is_told_what_cannot_be_seen(passable: Path) -> None:
    """It is neither wrong nor right, and nobody is told to end a server that runs."""
    secret = passable / "secret.toml"
    secret.write_text("[server]\nport = 1\n")
    secret.chmod(0o600)
    with Server(passable / "state") as server:

        def doctor(*options: str, **env: str) -> tuple[int, list[dict[str, Any]]]:
            result = as_nobody("doctor", "--json", "--timeout", "5", "--port", str(server.port), *options, **env)
            assert result.stderr == ""
            return result.returncode, json.loads(result.stdout)["findings"]

        for folder in (server.state_dir, passable / "none"):
            status, found = doctor("--state-dir", str(folder))
            port = next(row for row in found if row["check"] == "port")
            assert (status, port["verdict"], port["cure"]) == (1, "WARNING", "run kmstwist doctor with sudo")
            assert "in use by a program of root that this user may not see; a KMS host answers there" in port["finding"]
            assert "end it" not in json.dumps(found)
        status, found = doctor("--state-dir", str(server.state_dir), KMSTWIST_CONFIG=str(secret))
        assert status == 1
        assert found[0]["finding"] == "it cannot be read by this user, so what depends on it is not checked"
        assert [row["check"] for row in found] == ["configuration", "server", "clock", "port"]


@pytest.mark.parametrize(("free", "verdict"), [(10, Health.DOWN), (400, Health.DEGRADED), (9000, Health.HEALTHY)])
def test_little_space_is_a_warning_and_no_space_is_critical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Health
) -> None:
    class Usage:
        pass

    Usage.free = free << 20  # type: ignore[attr-defined]
    monkeypatch.setattr("kmstwist.health.checks.shutil.disk_usage", lambda folder: Usage)
    (found,) = checks.check_space(case(tmp_path / "not" / "there"))
    assert found.health is verdict
    assert bool(found.cure) is (verdict is not Health.HEALTHY)
    # The audit's store may be on another file system, as all in /proc is.
    config = Config.model_validate({"audit": {"store": "/proc/self/audit.sqlite"}})
    first, other = checks.check_space(case(tmp_path, config=config))
    assert str(tmp_path) in first.text
    assert (other.health, "/proc" in other.text) == (verdict, True)


@pytest.mark.parametrize(("status", "verdict"), [(0x40, Health.DEGRADED), (0x2001, Health.HEALTHY)])
def test_a_clock_without_a_time_source_is_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, verdict: Health
) -> None:
    monkeypatch.setattr(checks, "kernel_clock_status", lambda: status)
    (found,) = checks.check_clock(case(tmp_path))
    assert found.health is verdict


def test_the_kernel_tells_its_clocks_state() -> None:
    status = checks.kernel_clock_status()
    assert status is None or 0 <= status < 1 << 16


def test_a_machine_without_a_full_name_is_odd_only_where_no_other_name_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmstwist.health.checks.socket.getfqdn", lambda: "localhost")

    def found(**publish: Any) -> list[str]:
        config = Config.model_validate({"dns": {"publish": publish}})
        return [one.cure for one in checks.check_name(case(tmp_path, config=config))]

    (cure,) = found(domains=["corp.example"])
    assert cure.endswith("or name one with host in [dns.publish]")
    assert found(domains=["corp.example"], host="gw.corp.example") == []
    assert found() == []
