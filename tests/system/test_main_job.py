"""The main job with real processes: a lab, a gateway in front of it, clients and probes over TCP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from kmstwist.kms.catalogue import find
from kmstwist.kms.interface import WINDOWS_CONTEXTS
from kmstwist.kms.status import Status
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient
from kmstwist.lab.keys import LabKey
from kmstwist.lab.network_client import activate as wire_activate
from kmstwist.rpc import Bind, encode
from tests.ports import free_port
from tests.reactors import reactor
from tests.system.running import BIN, Server, fields, kmstwist, run

PRODUCT = "Windows 11 / 10 Enterprise"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "lab") as server:
        yield server


def activate(server: Server, key: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return kmstwist("lab", "activate", "--port", str(server.port), "--lab-key", str(key), *options)


@pytest.mark.parametrize("version", ["4", "5", "6"])
def test_thirty_clients_climb_to_the_threshold_and_are_licensed_from_the_25th_on(lab: Server, version: str) -> None:
    result = activate(lab, lab.key, "--product", PRODUCT, "--count", "30", "--kms-version", version)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"LAB-PC-(\d{4})\s+(\d+)\s+[\d.]+\s+(\S.*?)\s*$", result.stdout, re.MULTILINE)
    assert [(int(machine), int(count)) for machine, count, _ in rows] == [(n, n) for n in range(1, 31)]
    assert [state for _, _, state in rows[:24]] == [f"grace: count {n} of 25" for n in range(1, 25)]
    assert {state for _, _, state in rows[24:]} == {"licensed for 180 days"}
    assert "6 of 30 licensed" in result.stdout


def test_a_single_client_prints_its_whole_answer(lab: Server) -> None:
    result = activate(lab, lab.key, "--product", "Windows Server 2022 Standard")
    assert result.returncode == 0, result.stderr
    for expected in (
        r"host id\s+LAB-",
        r"count\s+1 \(needs 5\)",
        r"activation interval\s+120",
        r"renewal interval\s+10080",
        r"round trip\s+[\d.]+ ms",
    ):
        assert re.search(expected, result.stdout), result.stdout


def test_the_gateway_carries_every_version_and_logs_one_line_a_client(lab: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "gateway", f"--upstream=127.0.0.1:{lab.port}") as gateway:
        for version in ("4", "5", "6"):
            result = activate(gateway, lab.key, "--product", PRODUCT, "--count", "10", "--kms-version", version)
            assert result.returncode == 0, result.stderr
        lines = gateway.conversations(30)
        assert {line["upstream"] for line in lines} == {f"127.0.0.1:{lab.port}"}
        # The gateway does not know what the host's answer means for the client.
        assert {line["result"] for line in lines} == {"answered"}
        assert [line["version"] for line in lines] == ["4.0"] * 10 + ["5.0"] * 10 + ["6.0"] * 10
        # Only a V4 message carries the client's identity in clear.
        assert [line.get("machine") for line in lines[9:11]] == ["LAB-PC-0010", None]
        assert gateway.stop() == 0


def test_the_lab_remembers_its_clients_across_a_restart(lab: Server, tmp_path: Path) -> None:
    assert activate(lab, lab.key, "--product", PRODUCT, "--count", "24").returncode == 0
    assert lab.stop() == 0
    with Server(tmp_path / "lab") as again:
        assert "clients=24" in again.wait_for(" lab ")
        result = activate(again, again.key, "--product", PRODUCT, "--prefix", "NEW")
        assert "licensed for 180 days" in result.stdout


def test_intervals_are_what_the_options_say(tmp_path: Path) -> None:
    with Server(tmp_path / "lab", "--activation-interval=15", "--renewal-interval=43200") as lab:
        result = activate(lab, lab.key, "--product", PRODUCT)
        assert re.search(r"activation interval\s+15 minutes", result.stdout)
        assert re.search(r"renewal interval\s+43200 minutes", result.stdout)


def test_a_probe_distinguishes_a_kms_host_an_open_port_and_a_closed_one(lab: Server) -> None:
    good = kmstwist("probe", f"127.0.0.1:{lab.port}")
    assert (good.returncode, good.stdout.splitlines()[0].split(" - ")[0]) == (0, "KMS OK")
    assert "KMS in NDR32             accepted" in good.stdout
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = kmstwist("probe", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout", "1")
    assert (silent.returncode, "no answer to the bind within 1 s" in silent.stdout) == (2, True)
    none = kmstwist("probe", f"127.0.0.1:{free_port()}")
    assert (none.returncode, "connection refused" in none.stdout) == (2, True)


def test_a_probe_reports_as_json(lab: Server) -> None:
    report = json.loads(kmstwist("probe", f"127.0.0.1:{lab.port}", "--json").stdout)
    assert report["verdict"] == "OK"
    assert report["listening"] is True


def test_a_client_with_another_labs_key_is_refused_and_the_log_says_why(lab: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "other") as other:
        result = activate(lab, other.key, "--product", PRODUCT)
    assert result.returncode == 1
    assert "0x8007000D" in result.stdout
    line = lab.conversations(1)[0]
    assert line["reason"] == "lab-foreign-message"
    assert line["detail"] == (
        "127.0.0.1 sent a V6 request that is not the lab's: is it a real Windows or Office client? "
        "The lab grants no licences; configure an upstream."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--product", "Windos 11 Pro"], 'no product "Windos 11 Pro"; did you mean "Windows 11 / 10 Pro"?'),
        (["--product", PRODUCT, "--lab-key", "/nowhere/lab.key"], "there is no lab key at /nowhere/lab.key"),
        (["--product", PRODUCT, "--kms-version", "7"], "must be one of 4, 5, 6, not '7'"),
        (["--product", PRODUCT, "--port", "99999"], "is not from 1 to 65535"),
    ],
)
def test_a_mistake_of_the_lab_client_is_one_clear_sentence(options: list[str], sentence: str) -> None:
    result = kmstwist("lab", "activate", *options)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("x" * 59, f'Invalid value for --prefix: "{"x" * 59}-0001" is not a machine name: '),
        ("\udcff", 'Invalid value for --prefix: "\\udcff-0001" is not a machine name: '),
        ("a\nb", 'Invalid value for --prefix: "a\nb-0001" is not a machine name: '),
    ],
)
def test_an_invalid_machine_name_prefix_is_one_clear_sentence(lab: Server, prefix: str, sentence: str) -> None:
    result = activate(lab, lab.key, "--product", PRODUCT, "--prefix", prefix)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "[::1]:{}", "localhost:{}"])
def test_the_host_may_be_given_with_its_port(lab: Server, host: str) -> None:
    options = ("--product", PRODUCT, "--lab-key", str(lab.key), "--host", host.format(lab.port))
    result = kmstwist("lab", "activate", *options)
    assert (result.returncode, "count 1 of 25" in result.stdout) == (0, True), result.stderr
    assert kmstwist("lab", "activate", *options, "--port", str(lab.port)).returncode == 0
    contrary = kmstwist("lab", "activate", *options, "--port", "1688")
    assert contrary.returncode == 2
    assert f"--host names port {lab.port} and --port 1688; give one of them" in contrary.stderr


def test_an_address_in_brackets_is_the_same_as_without(lab: Server) -> None:
    result = activate(lab, lab.key, "--product", PRODUCT, "--host", "[::1]")
    assert (result.returncode, "count 1 of 25" in result.stdout) == (0, True), result.stderr


def test_an_invalid_host_is_a_usage_error(lab: Server) -> None:
    result = activate(lab, lab.key, "--product", PRODUCT, "--host", "127.0.0.1:70000")
    assert result.returncode == 2
    assert "--host: '127.0.0.1:70000': the port must be a number from 1 to 65535" in result.stderr


def test_a_missing_host_is_reported_with_the_cure(lab: Server) -> None:
    result = kmstwist("lab", "activate", "--product", PRODUCT, "--port", str(free_port()), "--lab-key", str(lab.key))
    assert result.returncode == 1
    assert "connection refused; start a lab there (twistd -n kms)" in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--port=70000"], "--port=70000: must be at most 65535"),
        (["--prot=1"], "there is no option --prot; did you mean --port?"),
        (["--upstream=a:b"], "--upstream=a:b: 'a:b': the port must be a number from 1 to 65535"),
        (["--log-format=xml"], "--log-format=xml: must be one of text or json"),
        (["--listen=tcpp:1"], "--listen=tcpp:1: 'tcpp:1' is neither an address with a port nor a Twisted endpoint"),
        (["--state-dir=/proc/nowhere"], "/proc/nowhere cannot be used"),
    ],
)
def test_a_wrong_option_of_twistd_kms_is_one_clear_sentence(options: list[str], sentence: str, tmp_path: Path) -> None:
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path}", *options])
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("foreground", [True, False])
def test_a_taken_port_is_one_clear_sentence(lab: Server, tmp_path: Path, foreground: bool) -> None:
    mode = ["-n", "--pidfile="] if foreground else ["--pidfile=x.pid", "--logfile=x.log"]
    result = run([str(BIN / "twistd"), *mode, "kms", f"--port={lab.port}", f"--state-dir={tmp_path}/x"], cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(
        f"kmstwist: port {lab.port} is in use by another kmstwist, process {lab.process.pid}; "
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("tcp:{port}", "tcp:{port} is in use by another kmstwist, process {pid}; stop it, or choose another with"),
        ("tcp:0:interface=192.0.2.77", "cannot listen on tcp:0:interface=192.0.2.77: no interface of this machine has"),
    ],
)
def test_an_unavailable_address_is_one_clear_sentence(
    lab: Server, tmp_path: Path, listen: str, sentence: str, foreground: bool
) -> None:
    mode = ["-n", "--pidfile="] if foreground else ["--pidfile=x.pid", "--logfile=x.log"]
    options = ["kms", f"--listen={listen.format(port=lab.port)}", f"--state-dir={tmp_path}/x"]
    result = run([str(BIN / "twistd"), *mode, *options], cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"kmstwist: {sentence.format(port=lab.port, pid=lab.process.pid)}")
    assert len(result.stderr.splitlines()) == 1


def test_an_endpoint_that_cannot_be_opened_ends_the_server_with_one_clear_sentence(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/nowhere/kms.sock"
    command = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--listen={listen}", f"--state-dir={tmp_path}/x"]
    result = run(command)
    assert result.returncode == 1
    # By then the log has taken the place of standard error.
    sentence = f"kmstwist: cannot listen on {listen}: No such file or directory"
    assert sentence in result.stdout.splitlines()[-1]
    assert "Traceback" not in result.stdout + result.stderr


def test_an_unreadable_key_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "lab.key").write_bytes(bytes(32))
    (tmp_path / "lab.key").chmod(0o644)
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path}"])
    assert result.returncode == 1
    assert f"chmod 600 {tmp_path}/lab.key" in result.stderr


def test_as_a_daemon_with_a_pid_file_it_starts_and_stops_cleanly(tmp_path: Path) -> None:
    port = free_port()
    pidfile, logfile = tmp_path / "kms.pid", tmp_path / "kms.log"
    started = run(
        [
            str(BIN / "twistd"),
            f"--pidfile={pidfile}",
            f"--logfile={logfile}",
            "kms",
            f"--port={port}",
            f"--state-dir={tmp_path / 'state'}",
        ]
    )
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    pid = int(pidfile.read_text())
    assert kmstwist("probe", f"127.0.0.1:{port}").returncode == 0
    stopped = run(["/bin/sh", "-c", f"kill -TERM {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"])
    assert stopped.returncode == 0
    assert not pidfile.exists()
    events = [line.split()[2] for line in logfile.read_text().splitlines() if " hint " not in line]
    assert ("as-root" in events) == (os.geteuid() == 0)
    assert [event for event in events if event != "as-root"] == [
        "starting",
        "listening",
        "lab",
        "stopped",
    ]


@pytest.mark.parametrize(
    "listen",
    [
        ("--port=0",),
        ("--listen=tcp:{port}:interface=127.0.0.2",),
        ("--listen=unix:{folder}/kms.sock", "--listen=tcp:port={port}"),
        ("--listen=haproxy:tcp:0", "--listen=tcp6:{port}:interface=\\:\\:1"),
    ],
)
def test_the_commands_in_a_lab_s_hints_work_as_printed(tmp_path: Path, listen: tuple[str, ...]) -> None:
    options = [option.format(port=free_port(), folder=tmp_path) for option in listen]
    with Server(tmp_path / "my lab", *options) as server:
        command = fields(server.wait_for(" hint "))["try"]
        result = run(["/bin/sh", "-c", command], cwd=tmp_path)
        assert (result.returncode, "6 of 30 licensed" in result.stdout) == (0, True), f"{command}: {result.stderr}"


def test_the_gateway_s_hint_names_the_port_it_listens_on(lab: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "gateway", f"--upstream=127.0.0.1:{lab.port}", "--port=0") as gateway:
        result = run(["/bin/sh", "-c", fields(gateway.wait_for(" hint "))["try"]], cwd=tmp_path)
        assert result.stdout.startswith("KMS OK"), result.stderr


def test_no_hint_is_given_if_no_command_could_ask(tmp_path: Path) -> None:
    path = tmp_path / "kms.sock"
    with Server(tmp_path / "lab", f"--listen=unix:{path}") as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(encode(Bind(1, WINDOWS_CONTEXTS)))
            # By then the hint would have been printed.
            assert client.recv(100)
        server.wait_for(" conversation ")
        assert [fields(line)["address"] for line in server.lines if " listening " in line] == [str(path)]
        assert [line for line in server.lines if " hint " in line] == []


def test_the_log_can_be_json(tmp_path: Path) -> None:
    with Server(tmp_path / "lab", "--log-format=json") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"this is not an RPC PDU")
            with contextlib.suppress(ConnectionResetError):
                while client.recv(1000):
                    pass
        line = json.loads(server.wait_for('"conversation"'))
        assert (line["client"], line["reason"], line["level"]) == ("127.0.0.1", "rpc-not-rpc", "info")


@ensureDeferred
async def test_a_log_line_cannot_be_forged_by_a_machine_name(lab: Server) -> None:
    client = LabClient("x\n2026-01-01 info conversation client=1.2.3.4", uuid4(), find(PRODUCT), installed=0)
    cipher = LabCipher(LabKey.load(lab.key), os.urandom)
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", lab.port)
    assert (
        await wire_activate(client, cipher, endpoint, reactor, 30)
    ).outcome.hresult == Status.SL_E_VL_NOT_ENOUGH_COUNT
    line = lab.wait_for(" conversation ")
    assert "\\n2026-01-01" in line
    assert fields(line)["client"] == "127.0.0.1"


def test_an_upstream_that_dies_under_load_leaves_no_client_without_an_answer(lab: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "gateway", f"--upstream=127.0.0.1:{lab.port}", "--upstream-timeout=60") as gateway:
        with ThreadPoolExecutor(1) as pool:
            clients = pool.submit(
                activate,
                gateway,
                lab.key,
                "--product",
                PRODUCT,
                "--count",
                "3000",
                "--at-once",
                "32",
                "--timeout",
                "120",
            )
            gateway.wait_for(" conversation ", 200)
            lab.process.send_signal(signal.SIGKILL)
            result = clients.result()
        # Every client has its line: licensed or in grace before the kill, an RPC fault at once after it, none silent.
        rows = re.findall(r"LAB-PC-(\d{4,})\s+(.*)", result.stdout)
        assert len(rows) == 3000
        assert not [row for row in rows if "within" in row[1]]
        assert [row for row in rows if "fault" in row[1]]
        assert gateway.stop() == 0


def test_an_upstream_that_is_silent_is_answered_for_within_the_timeout(lab: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        options = (f"--upstream=127.0.0.1:{mute.getsockname()[1]}", "--upstream-timeout=0.5")
        with Server(tmp_path / "gateway", *options) as gateway:
            result = activate(gateway, lab.key, "--product", PRODUCT)
            assert "fault 0x000006ba" in result.stderr
            assert gateway.conversations(1)[0]["reason"] == "upstream-timeout"


def test_an_upstream_that_refuses_is_answered_for_at_once(lab: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "gateway", f"--upstream=127.0.0.1:{free_port()}", "--upstream-timeout=60") as gateway:
        result = activate(gateway, lab.key, "--product", PRODUCT, "--timeout", "120")
        assert "fault 0x000006ba (server unavailable)" in result.stderr
        line = gateway.conversations(1)[0]
        assert (line["reason"], line["result"]) == ("upstream-refused", "fault")
