"""Every command finds the server and the store that the configuration names, and says where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from kmstwist.audit.store import insert_batch
from tests.audit.making import DAY, known, new_store
from tests.audit.making import START as NOW_MS
from tests.ordinary import as_nobody, needs_root, passable
from tests.ports import free_port
from tests.system.running import BIN, Server, kmstwist, run

__all__ = ["passable"]


def make_store(folder: Path) -> Path:
    engine = new_store(folder)
    insert_batch(engine, [known(NOW_MS - DAY, "pc1", "10.1.0.1")])
    engine.dispose()
    return folder / "audit.sqlite"


def test_commands_ask_the_server_that_the_configuration_names(tmp_path: Path) -> None:
    with Server(tmp_path / "state") as server:
        file = tmp_path / "kms.toml"
        file.write_text(f'[server]\nport = {server.port}\nstate_dir = "{tmp_path}/state"\n')
        asked = [
            kmstwist("gateway", "status", env={"KMSTWIST_CONFIG": str(file)}),
            kmstwist("--config", str(file), "gateway", "status"),
            kmstwist("--config", str(file), "lab", "activate", "--product", "win10 pro"),
        ]
        assert [(one.returncode, one.stderr) for one in asked] == [(0, "")] * 3
        rows = json.loads(kmstwist("--config", str(file), "config", "where", "--json").stdout)
        assert {row["what"]: (row["value"], row["origin"]) for row in rows} == {
            "configuration file": (str(file), "--config"),
            "port": (str(server.port), f"{file}:2"),
            "state folder": (f"{tmp_path}/state", f"{file}:3"),
            "control socket": (f"{tmp_path}/state/control-{server.port}.sock", f"{file}:3"),
            "audit store": (f"{tmp_path}/state/lab-audit.sqlite", f"{file}:3"),
        }
        report = kmstwist("--config", str(file), "report", "clients")
        read_from = f"Read from {tmp_path}/state/lab-audit.sqlite (from {file}:3); its newest record is from "
        assert read_from in report.stdout
        assert "less than a minute ago" in report.stdout
    elsewhere = kmstwist("gateway", "status", "--port", "9", env={"KMSTWIST_CONFIG": str(file)})
    assert f"(the port is from --port, the folder from {file}:3)" in elsewhere.stderr


def test_each_form_of_a_report_says_what_was_read(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    source = f"Read from {store} (from --store); its newest record is from 2"
    report = ("report", "clients", "--store", str(store))
    assert source in kmstwist(*report).stdout
    assert source in kmstwist(*report, "--format", "markdown").stdout
    assert source in kmstwist(*report, "--format", "csv").stderr
    assert json.loads(kmstwist(*report, "--format", "json").stdout)["read"]["store"] == str(store)


@needs_root
def test_a_user_who_may_not_read_a_store_is_told_to_use_sudo(passable: Path) -> None:
    store = make_store(passable)
    store.parent.chmod(0o755)
    store.chmod(0o644)
    variable = {"KMSTWIST_AUDIT_STORE": str(store)}
    assert as_nobody("report", "clients", **variable).stderr == ""
    store.chmod(0o600)
    hidden = as_nobody("report", "clients", **variable)
    assert (hidden.returncode, hidden.stdout) == (1, "")
    assert hidden.stderr == f"Error: the audit store {store} cannot be read by this user; run the command with sudo\n"
    store.parent.chmod(0o700)
    hidden = as_nobody("report", "clients", **variable)
    assert (hidden.returncode, hidden.stdout) == (1, "")
    assert hidden.stderr == f"Error: the audit store {store} cannot be seen by this user; run the command with sudo\n"


def test_a_server_with_listen_alone_is_found_and_a_second_in_its_run_dir_refused(tmp_path: Path) -> None:
    number, run_dir = free_port(), tmp_path / "run"
    file = tmp_path / "kms.toml"
    file.write_text(f'[server]\nlisten = ["127.0.0.1:{number}"]\nstate_dir = "{tmp_path}/a"\nrun_dir = "{run_dir}"\n')
    with Server(tmp_path / "a", f"--config={file}") as server:
        path = run_dir / f"control-{number}.sock"
        assert path.is_socket()
        assert kmstwist("--config", str(file), "gateway", "status").returncode == 0
        assert kmstwist("gateway", "status", "--port", str(number), "--run-dir", str(run_dir)).returncode == 0
        second = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--listen=tcp:{number}:interface=127.0.0.2"]
        refused = run([*second, f"--state-dir={tmp_path}/b", f"--run-dir={run_dir}"])
        assert refused.returncode == 1
        assert refused.stderr == (
            f"kmstwist: the control socket {path} is in use by another kmstwist, "
            f"process {server.process.pid}; stop it, "
            "or give this one a --run-dir of its own\n"
        )
        assert kmstwist("--config", str(file), "gateway", "status").returncode == 0
        server.kill()
    # What it left is replaced.
    with Server(tmp_path / "a", f"--config={file}"):
        assert kmstwist("--config", str(file), "gateway", "status").returncode == 0


def test_a_server_on_a_unix_socket_alone_has_a_name_too(tmp_path: Path) -> None:
    # The path of a socket holds 107 bytes at most, and pytest's own folders may need most of them.
    with TemporaryDirectory() as folder:
        on_a_unix_socket(Path(folder))


def on_a_unix_socket(tmp_path: Path) -> None:
    file = tmp_path / "kms.toml"
    file.write_text(f'[server]\nlisten = ["unix:{tmp_path}/kms.sock"]\nstate_dir = "{tmp_path}/state"\n')
    with Server(tmp_path / "state", f"--config={file}"):
        assert kmstwist("--config", str(file), "gateway", "status").returncode == 0
        assert len(list((tmp_path / "state").glob("control-unix-*.sock"))) == 1
