"""The site serves health, metrics and the status page, over real HTTP on loopback."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kmstwist.web.passwords import hash_password
from tests.ports import free_port
from tests.system.running import BIN, Server, kmstwist, run
from tests.waiting import PATIENCE, wait_until

PRODUCT = "Windows 11 / 10 Enterprise"


def get(url: str, user: str = "") -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url)
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, response.read().decode(), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def metrics(url: str) -> dict[tuple[str, ...], float]:
    """Each sample's value under its name and label values."""
    _, text, _ = get(url + "metrics")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    web = free_port()
    with Server(tmp_path_factory.mktemp("web") / "lab", f"--web=127.0.0.1:{web}") as server:
        yield server, f"http://127.0.0.1:{web}/"


def activate(server: Server, key: Path, count: int) -> None:
    options = ("--port", str(server.port), "--lab-key", str(key), "--product", PRODUCT, "--count", str(count))
    assert kmstwist("lab", "activate", *options).returncode == 0


def test_a_lab_counts_its_conversations(lab: tuple[Server, str]) -> None:
    server, url = lab
    before = metrics(url)
    activate(server, server.key, 7)
    after = metrics(url)
    answered = "kmstwist_conversations_total", "answered"
    assert after[answered] - before[answered] == 7
    assert after["kmstwist_phase_seconds_count", "call"] - before["kmstwist_phase_seconds_count", "call"] == 7
    assert after["kmstwist_phase_seconds_bucket", "+Inf", "call"] == after["kmstwist_phase_seconds_count", "call"]
    assert after[("kmstwist_health",)] == 0
    assert after[("process_open_fds",)] > 0


def test_the_metrics_count_the_clients(tmp_path: Path) -> None:
    web = free_port()
    url = f"http://127.0.0.1:{web}/"
    with Server(tmp_path / "lab", f"--web=127.0.0.1:{web}") as server:
        activate(server, server.key, 30)
        told = metrics(url)
        assert told["kmstwist_clients", "Windows", "activated"] + told["kmstwist_clients", "Windows", "never"] == 30
        assert told["kmstwist_client_count", "Windows", "25"] == 30
        assert told["kmstwist_client_count_needed", "Windows", "25"] == 25
        assert told["kmstwist_last_success_timestamp_seconds", "lab", PRODUCT] > 0
        # Counted at most once a minute: whoever asks again gets the same numbers.
        counted = ("kmstwist_clients_counted_timestamp_seconds",)
        activate(server, server.key, 5)
        again = metrics(url)
        if again[counted] == told[counted]:
            assert again["kmstwist_client_count", "Windows", "25"] == 30


def test_it_is_alive_and_ready_and_shows_its_status(lab: tuple[Server, str]) -> None:
    _, url = lab
    assert get(url + "livez")[:2] == (200, "ok\n")
    assert get(url + "readyz")[:2] == (200, "healthy\n")
    status, page, headers = get(url)
    assert (
        status,
        # This test does not depend on whether the seven above, which were not activated, are counted already.
        re.search(r"<p>Clients are answered[^.]*\. Healthy since", page) is not None,
        "it grants no licences" in page,
    ) == (200, True, True)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.search(r"(src|href)=\"(?![/#])", page)
    assert get(url + "nothing")[0] == 404


def test_a_labs_activations_are_in_its_reports(lab: tuple[Server, str]) -> None:
    server, url = lab
    activate(server, server.key, 1)
    status, page, _ = get(url + "reports/products")
    assert (status, PRODUCT in page) == (200, True)


def test_a_paused_server_is_not_ready(lab: tuple[Server, str]) -> None:
    server, url = lab
    where = ("--port", str(server.port), "--run-dir", str(server.state_dir))
    assert kmstwist("gateway", "pause", *where).returncode == 0
    status, text, _ = get(url + "readyz")
    assert (status, text.splitlines()[0]) == (503, "down")
    assert kmstwist("gateway", "resume", *where).returncode == 0
    assert get(url + "readyz")[0] == 200


def test_workers_are_one_and_a_crashed_one_takes_no_count_with_it(lab: tuple[Server, str], tmp_path: Path) -> None:
    server, _ = lab
    web = free_port()
    url = f"http://127.0.0.1:{web}/"
    options = (f"--upstream=127.0.0.1:{server.port}", "--workers=2", f"--web=127.0.0.1:{web}")
    with Server(tmp_path / "gateway", *options) as gateway:
        gateway.wait_for(r" listening ", 2)
        activate(gateway, server.key, 40)
        counted = metrics(url)
        assert counted["kmstwist_conversations_total", "answered"] == 40
        assert counted["kmstwist_upstream_calls_total", "answered", f"127.0.0.1:{server.port}"] == 40
        assert counted[("kmstwist_workers",)] == 2
        reported = json.loads(get(url + "reports/activity?format=json")[1])["rows"]
        assert sum(row["calls"] for row in reported) == 40
        line = gateway.wait_for("worker-started")
        subprocess.run(["kill", "-KILL", re.findall(r"worker_pid=(\d+)", line)[0]], check=True)
        gateway.wait_for("worker-ended")
        assert metrics(url)["kmstwist_conversations_total", "answered"] == 40
        gateway.wait_for(r" listening ", 3)
        wait_until(lambda: metrics(url)[("kmstwist_workers",)] == 2)
        activate(gateway, server.key, 10)
        assert metrics(url)["kmstwist_conversations_total", "answered"] == 50
        assert gateway.stop() == 0


def test_a_site_open_to_others_requires_users_and_knows_them(tmp_path: Path) -> None:
    config, users = tmp_path / "kms.toml", tmp_path / "users"
    web = free_port()
    config.write_text(f'[web]\nlisten = "0.0.0.0:{web}"\n')
    result = run(
        [str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path}/s", f"--config={config}"]
    )
    assert result.returncode == 1
    assert "can be reached from other machines; name a file of users" in result.stderr
    config.write_text(f'[web]\nlisten = "0.0.0.0:{web}"\nusers = "{users}"\n')
    result = run(
        [str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path}/s", f"--config={config}"]
    )
    assert result.returncode == 1
    assert f"the file of users {users} cannot be read" in result.stderr
    made = kmstwist("web", "password", "ann", "--file", str(users), "--password", "secret")
    assert made.returncode == 0, made.stderr
    assert "secret" not in users.read_text()
    assert users.stat().st_mode & 0o777 == 0o640
    with Server(tmp_path / "lab", f"--config={config}"):
        url = f"http://127.0.0.1:{web}/"
        assert get(url)[0] == 401
        assert get(url + "metrics", "ann:wrong")[0] == 401
        assert get(url + "metrics", "bob:secret")[0] == 401
        assert get(url + "metrics", "ann:secret")[0] == 200
        assert get(url, "ann:secret")[0] == 200
        assert get(url + "livez")[0] == 200


def test_a_taken_port_of_the_site_is_one_clear_sentence(lab: tuple[Server, str], tmp_path: Path) -> None:
    address = lab[1].removeprefix("http://").rstrip("/")
    options = ("kms", "--port=0", f"--state-dir={tmp_path}", f"--web={address}")
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", *options])
    assert result.returncode == 1
    assert re.search(r"^kmstwist: \[web\] listen: port \d+ of 127.0.0.1 cannot be opened", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr


def test_the_doctor_finds_a_running_lab_well(lab: tuple[Server, str]) -> None:
    server, url = lab
    config = server.state_dir.parent / "doctor.toml"
    web = url.removeprefix("http://").rstrip("/")
    config.write_text(f'[server]\nport = {server.port}\nstate_dir = "{server.state_dir}"\n[web]\nlisten = "{web}"\n')
    report = json.loads(kmstwist("doctor", "--config", str(config), "--json").stdout)
    verdicts = {row["check"]: row["verdict"] for row in report["findings"] if row["check"] != "clock"}
    assert {verdicts[name] for name in ("configuration", "server", "port", "lab key", "audit", "health")} == {"OK"}


def test_a_password_is_kept_as_a_slow_hash() -> None:
    assert hash_password("x") != hash_password("x")
    assert hash_password("x").startswith("scrypt$16384$8$1$")
