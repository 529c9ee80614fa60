"""The gateway with real peers: HAProxy in front of it, and BIND, which names its hosts."""

from __future__ import annotations

import csv
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from kmstwist.lab.keys import LabKey
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import FaultError
from tests.discovery.named import StartNamed, start_named
from tests.ports import free_port
from tests.reactors import reactor
from tests.system.gateway_process import Crowd, ask_once, control, start_gateway, start_lab, until, upstream
from tests.system.running import Server, kmstwist
from tests.waiting import PATIENCE, wait_until

__all__ = ["start_named"]

PAGE = Path(__file__).parents[2] / "docs/haproxy.md"

HAPROXY = """\
global
  maxconn 200
defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
frontend kms
  bind 127.0.0.1:{front}
  default_backend gateway
backend gateway
  server gateway 127.0.0.1:{back} {send} source 127.0.0.5
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with start_lab(tmp_path, "lab") as server:
        yield server


class Balancer:
    """HAProxy in front of a server, with that server's interface."""

    def __init__(self, program: str, folder: Path, server: Server, send: str) -> None:
        self.port = free_port()
        file = folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(front=self.port, back=server.port, send=send))
        self.process = subprocess.Popen([program, "-db", "-q", "-f", str(file)])

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


async def reachable(balancer: Any) -> None:
    """Wait until HAProxy listens; each attempt takes its own time."""
    give_up = reactor.seconds() + PATIENCE
    while reactor.seconds() < give_up:
        outcome = await ask_once(balancer)
        if not (isinstance(outcome, Exception) and "refused" in str(outcome)):
            return
    raise AssertionError("HAProxy does not listen")


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
@ensureDeferred
async def test_behind_haproxy_the_real_client_is_judged_and_recorded_beside_the_balancer(
    lab: Server, tmp_path: Path, program: Any, send: str
) -> None:
    text = '[admission]\nproxy_from = ["127.0.0.5"]\ndeny = ["127.0.9.0/24"]\n' + upstream(lab.port, "lab")
    with start_gateway(tmp_path, text) as gateway:
        with Balancer(program("haproxy"), tmp_path, gateway, send) as balancer:
            await reachable(balancer)
            visits = await Crowd(balancer, LabKey.load(lab.key), addresses=["127.0.7.7"]).come(3)
            assert [(visit.hresult, visit.error) for visit in visits] == [(0, None)] * 3
            denied = await ask_once(balancer, address="127.0.9.9")
            assert isinstance(denied, FaultError)
            assert denied.status == FaultStatus.ACCESS_DENIED
            lines = gateway.conversations(5)[1:]
            assert [(line["client"], line["proxy"], line["reason"]) for line in lines] == [
                *[("127.0.7.7", "127.0.0.5", "ok")] * 3,
                ("127.0.9.9", "127.0.0.5", "admission-network"),
            ]


@pytest.mark.needs("haproxy")
@ensureDeferred
async def test_a_balancer_that_is_not_named_is_refused_its_header(lab: Server, tmp_path: Path, program: Any) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab")) as gateway:
        with Balancer(program("haproxy"), tmp_path, gateway, "send-proxy-v2") as balancer:
            await reachable(balancer)
            [line] = gateway.conversations(1)
            assert (line["client"], line["reason"]) == ("127.0.0.5", "admission-proxy")


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("workers", [1, 2])
@ensureDeferred
async def test_haproxy_checks_as_the_page_says_and_sees_a_gateway_go_that_still_answers_clients(
    lab: Server, tmp_path: Path, program: Any, workers: int
) -> None:
    users, web, sock = tmp_path / "web-users", free_port(), tmp_path / "stats"
    made = kmstwist("web", "password", "haproxy", "--file", str(users), "--password", "PASSWORD")
    assert made.returncode == 0, made.stderr
    text = f'[web]\nlisten = "0.0.0.0:{web}"\nusers = "{users}"\n' + upstream(lab.port, "lab")
    # Longer than a test lasts: clients are answered during these seconds, not because they are over.
    text += "[server.timeouts]\nlame_duck = 3600\n"
    (page,) = re.findall(r"^# haproxy\.cfg\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with start_gateway(tmp_path, text, f"--workers={workers}") as gateway:
        config = page.replace("bind :1688", f"bind 127.0.0.1:{free_port()}")
        # Checks are more frequent than by default, with the same timeout: a check may take longer than the interval.
        config = config.replace(":1688 check", f":{gateway.port} check inter 200ms").replace("9688", str(web))
        config = config.replace("timeout connect 5s", "timeout connect 60s\n    timeout check 60s")
        config = re.sub(r"10\.1\.9\.[23]", "127.0.0.1", config)
        (tmp_path / "haproxy.cfg").write_text(f"global\n  stats socket {sock}\n{config}")
        process = subprocess.Popen([program("haproxy"), "-db", "-q", "-f", str(tmp_path / "haproxy.cfg")])
        try:
            until_check(sock, "UP,L7OK,200")
            said = kmstwist(
                "gateway", "pause", "--after", "3600", f"--run-dir={gateway.state_dir}", f"--port={gateway.port}"
            )
            assert said.stdout.startswith("/readyz says 503. In 3600 seconds")
            until_check(sock, "DOWN,L7STS,503")
            assert not isinstance(await ask_once(gateway), Exception)
            await control(gateway, "resume")
            until_check(sock, "UP,L7OK,200")
            await control(gateway, "pause")
            until_check(sock, "DOWN,L7STS,503")
            await control(gateway, "resume")
            until_check(sock, "UP,L7OK,200")

            gateway.process.terminate()
            until_check(sock, "DOWN,L7STS,503")
            assert not isinstance(await ask_once(gateway), Exception)
            gateway.wait_for(" leaving seconds=3600.* then=stop")
        finally:
            process.terminate()
            process.wait(PATIENCE)
            gateway.process.kill()


def until_check(sock: Path, wanted: str) -> None:
    """Wait until HAProxy's statistics say this of the first gateway: state, result of the check, HTTP status."""
    said = ""

    def look() -> bool:
        nonlocal said
        with suppress(OSError), socket.socket(socket.AF_UNIX) as way:
            way.connect(str(sock))
            way.sendall(b"show stat\n")
            said = way.makefile().read()
            rows = list(csv.DictReader(said.removeprefix("# ").splitlines()))
            [row] = [row for row in rows if row["svname"] == "gw1"]
            return f"{row['status']},{row['check_status']},{row['check_code']}" == wanted
        return False

    wait_until(look, lambda: f"not {wanted}: {said}")


ZONE = "corp.example"
HOST_A = "kms1 60 IN A 127.0.0.1\n"


def srv(*records: tuple[int, int, int, str]) -> str:
    return "".join(f"_vlmcs._tcp 60 IN SRV {p} {w} {port} {target}\n" for p, w, port, target in records)


@pytest.mark.needs("named", "dig")
@ensureDeferred
async def test_hosts_are_found_in_dns_by_priority_without_ourselves_and_kept_when_dns_is_gone(
    lab: Server, tmp_path: Path, start_named: StartNamed
) -> None:
    with start_lab(tmp_path, "lab2", key_of=lab) as second:
        port = free_port()
        records = srv(
            (0, 10, port, "gateway"), (0, 10, lab.port, "kms1"), (5, 10, second.port, "kms2"), (0, 10, 1688, "nowhere")
        )
        named = start_named({ZONE: records + HOST_A + "kms2 60 IN A 127.0.0.1\ngateway 60 IN A 127.0.0.1\n"})
        text = f'[dns]\nservers = ["{named.server}"]\n[gateway]\ndiscover = "{ZONE}"\n'
        (tmp_path / "kmstwist.toml").write_text(text)
        with Server(tmp_path / "gateway", f"--config={tmp_path / 'kmstwist.toml'}", port=port) as gateway:
            first, other = f"kms1.{ZONE}:{lab.port}", f"kms2.{ZONE}:{second.port}"
            found = await until(gateway, lambda found: len(found) == 2)
            assert set(found) == {first, other}
            assert [(one["priority"], one["found"]) for one in (found[first], found[other])] == [(0, "dns"), (5, "dns")]
            key = LabKey.load(lab.key)
            assert {visit.hresult for visit in await Crowd(gateway, key).come(4)} == {0}
            assert {line["upstream"] for line in gateway.conversations(4)} == {first}
            named.stop()
            lab.kill()
            assert {visit.hresult for visit in await Crowd(gateway, key).come(4)} == {0}
            assert set(await until(gateway, lambda found: True)) == {first, other}


@pytest.mark.needs("named", "dig")
@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("", "does not exist"),
        (srv((0, 0, 1688, "nowhere")), "no target of _vlmcs._tcp.corp.example has an address: nowhere.corp.example"),
    ],
)
@ensureDeferred
async def test_a_domain_without_a_usable_host_is_logged_and_clients_get_unavailable(
    tmp_path: Path, start_named: StartNamed, zone: str, said: str
) -> None:
    named = start_named({ZONE: zone})
    text = f'[dns]\nservers = ["{named.server}"]\n[gateway]\ndiscover = "{ZONE}"\n'
    with start_gateway(tmp_path, text) as gateway:
        assert said in gateway.wait_for(" upstreams-not-found ")
        outcome = await ask_once(gateway)
        assert isinstance(outcome, FaultError)
        assert outcome.status == FaultStatus.SERVER_UNAVAILABLE
        assert gateway.conversations(1)[0]["reason"] == "upstream-none"


@pytest.mark.needs("named", "dig")
@ensureDeferred
async def test_a_reload_changes_the_dns_servers_that_are_asked(tmp_path: Path, start_named: StartNamed) -> None:
    named = start_named({ZONE: srv((0, 10, 1, "kms1")) + HOST_A})
    text = f'[dns]\nservers = ["127.0.0.1:{free_port()}"]\n[gateway]\ndiscover = "nowhere.example"\n'
    with start_gateway(tmp_path, text) as gateway:
        text = f'[dns]\nservers = ["{named.server}"]\n[gateway]\ndiscover = "{ZONE}"\n'
        (tmp_path / "kmstwist.toml").write_text(text)
        assert await control(gateway, "reload") == {
            "changed": ["gateway.discover", "dns.servers"],
            "file": str(tmp_path / "kmstwist.toml"),
            "restart": [],
        }
        assert list(await until(gateway, lambda found: bool(found))) == [f"kms1.{ZONE}:1"]


@ensureDeferred
async def test_silent_dns_holds_no_client_up(lab: Server, tmp_path: Path) -> None:
    text = f'[dns]\nservers = ["127.0.0.1:{free_port()}"]\n[gateway]\ndiscover = "{ZONE}"\n' + upstream(lab.port, "lab")
    with start_gateway(tmp_path, text) as gateway:
        [visit] = await Crowd(gateway, LabKey.load(lab.key)).come(1)
        assert (visit.hresult, visit.error) == (0, None)
        assert gateway.stop() == 0
