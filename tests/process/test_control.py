from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread

from kmstwist.configuration.changes import in_force
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.model import Config
from kmstwist.configuration.reading import Effective
from kmstwist.problem import Problem
from kmstwist.process.control import ControlFactory, ControlService
from kmstwist.process.control_client import CommandError, ask, socket_path
from kmstwist.process.workers.command_forwarding import merged
from kmstwist.server.reload import Reloader
from tests.logs import logger
from tests.reactors import reactor
from tests.waiting import PATIENCE


def refuse(request: Any) -> None:
    raise CommandError("not today")


COMMANDS = {
    "echo": lambda request: {"said": request["say"]},
    "later": lambda request: succeed({"said": "later"}),
    "nothing": lambda request: None,
    "refuse": refuse,
    "defect": lambda request: 1 / 0,
}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b'{"command": "echo", "say": "hello"}', {"ok": True, "said": "hello"}),
        (b'{"command": "later"}', {"ok": True, "said": "later"}),
        (b'{"command": "nothing"}', {"ok": True}),
        (b'{"command": "refuse"}', {"ok": False, "error": "not today"}),
        (b'{"command": "defect"}', {"ok": False, "error": "division by zero"}),
        (b"nonsense", {"ok": False, "error": "a request is one JSON object with a command"}),
        (b"{}", {"ok": False, "error": "a request is one JSON object with a command"}),
        (b'{"command": 5}', {"ok": False, "error": "a request is one JSON object with a command"}),
        pytest.param(
            b"[" * 60_000, {"ok": False, "error": "a request is one JSON object with a command"}, id="too deep for JSON"
        ),
        (b"[]", {"ok": False, "error": "a request is one JSON object with a command"}),
    ],
)
def test_each_line_is_one_command_with_one_answer(line: bytes, answer: Any) -> None:
    protocol = ControlFactory(COMMANDS, logger()).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(line + b"\n")
    assert json.loads(transport.value()) == answer


def test_the_answer_to_an_unknown_command_lists_the_known_ones() -> None:
    protocol = ControlFactory(COMMANDS, logger()).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b'{"command": "eco"}\n')
    assert "it has: defect, echo, later, nothing, refuse" in json.loads(transport.value())["error"]


async def serve(path: Path) -> ControlService:
    service = ControlService(path, COMMANDS, reactor)
    service.startService()
    return service


@ensureDeferred
async def test_the_socket_is_for_its_owner_alone_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "run", 1688)
    service = await serve(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await deferToThread(ask, path, {"command": "echo", "say": "x"}) == {"said": "x"}
    await maybeDeferred(service.stopService)
    assert not path.exists()


@ensureDeferred
async def test_a_socket_left_by_a_killed_server_is_replaced_and_a_living_server_s_is_not(tmp_path: Path) -> None:
    path = socket_path(tmp_path, 1688)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    first = await serve(path)
    second = await serve(path)
    assert await deferToThread(ask, path, {"command": "nothing"}) == {}
    assert second.stopService() is None
    assert path.exists()
    await maybeDeferred(first.stopService)


def test_a_command_that_takes_long_is_answered_although_its_side_is_closed() -> None:
    answer: Deferred[Any] = Deferred()
    protocol = ControlFactory({"late": lambda _: answer}, logger()).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b'{"command": "late"}\n')
    protocol.readConnectionLost()
    assert not transport.disconnecting
    answer.callback({"said": "late"})
    assert json.loads(transport.value()) == {"ok": True, "said": "late"}
    assert transport.disconnecting


@ensureDeferred
async def test_a_half_closed_client_gets_all_its_answers_and_then_the_end(tmp_path: Path) -> None:
    service = ControlService(tmp_path / "control.sock", COMMANDS, reactor, logger())
    service.startService()
    requests = b'{"command": "later"}\n{"command": "nothing"}\n'
    assert await deferToThread(said_in_full, service.path, requests) == [{"ok": True, "said": "later"}, {"ok": True}]
    assert await deferToThread(said_in_full, service.path, b"") == []
    await maybeDeferred(service.stopService)


def said_in_full(path: Path, request: bytes) -> list[Any]:
    """What a server answers to somebody who closes their side after the request."""
    with socket.socket(socket.AF_UNIX) as administrator:
        administrator.settimeout(PATIENCE)
        administrator.connect(str(path))
        administrator.sendall(request)
        administrator.shutdown(socket.SHUT_WR)
        with administrator.makefile("rb") as stream:
            return [json.loads(line) for line in stream]


def test_a_missing_server_is_reported_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no kmstwist runs with the control socket .*name its --port or --run-dir"):
        ask(tmp_path / "absent.sock", {"command": "echo"})


# Reloading.


def reloader(old: Config, new: Any, applied: list[Config]) -> Reloader:
    def load() -> Effective:
        if isinstance(new, Exception):
            raise new
        return Effective(new)

    return Reloader(Effective(old), load, applied.append, logger())


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def test_a_changed_configuration_is_applied_and_what_needs_a_restart_is_named() -> None:
    applied: list[Config] = []
    new = config(server={"port": 1700, "timeouts": {"idle": 5}}, admission={"client_rate": 3})
    told = reloader(Config(), new, applied).reload()
    assert told["changed"] == ["server.timeouts.idle", "admission.client_rate"]
    assert told["restart"] == ["server.port"]
    assert applied == [new]


def test_a_section_that_needs_a_restart_stands_for_all_that_is_in_it() -> None:
    new = config(
        audit={"enabled": False}, dns={"servers": ["::1"], "watch": {"domains": ["a.b"]}}, web={"listen": "[::1]:1"}
    )
    told = reloader(Config(), new, []).reload()
    assert (told["changed"], told["restart"]) == (["dns.servers"], ["audit.enabled", "dns.watch.domains", "web.listen"])


def test_a_needed_restart_is_reported_until_it_happens_or_the_change_is_undone() -> None:
    loaded = [config(web={"listen": "[::1]:1"}), config(web={"listen": "[::1]:1"}), config()]
    one = Reloader(Effective(Config()), lambda: Effective(loaded.pop(0)), lambda new: None)
    assert [one.reload()["restart"] for _ in range(3)] == [["web.listen"], ["web.listen"], []]


def test_a_bad_configuration_is_refused_and_the_old_one_stays() -> None:
    applied: list[Config] = []
    bad = reloader(Config(), ConfigError([Problem("a mistake", where="x.toml:1")]), applied)
    with pytest.raises(ConfigError):
        bad.reload()
    bad.reload_quietly()
    assert applied == []
    assert bad.effective.config == Config()


def test_a_lab_does_not_become_a_gateway_under_its_clients_feet() -> None:
    applied: list[Config] = []
    with pytest.raises(ConfigError, match="would turn a lab into a gateway"):
        reloader(Config(), config(gateway={"discover": "corp.example.com"}), applied).reload()
    assert applied == []


@pytest.mark.parametrize(
    ("port", "address"), [(1688, "127.0.0.1"), (1688, "[::1]:1688"), (1700, "localhost:1700"), (1700, "localhost:1688")]
)
def test_a_gateway_does_not_become_its_own_upstream_now_or_at_its_next_start(port: int, address: str) -> None:
    applied: list[Config] = []
    new = config(server={"port": port}, gateway={"upstreams": [{"address": address, "name": "lab"}]})
    old = config(gateway={"discover": "corp.example.com"})
    with pytest.raises(
        ConfigError, match=r"^gateway\.upstreams: upstream lab is this gateway itself; name the licensed"
    ):
        reloader(old, new, applied).reload()
    assert applied == []


def test_values_that_need_a_restart_stay_as_they_were_at_the_start() -> None:
    started = config(server={"port": 1700}, audit={"store": "/a"}, lab={"products": ["Office"]})
    new = config(
        server={"port": 1701, "timeouts": {"idle": 5}},
        audit={"store": "/b", "gateway": "b"},
        lab={"activation_interval": 20},
        dns={"servers": ["::1"], "watch": {"domains": ["a.b"]}},
    )
    wanted = config(
        server={"port": 1700, "timeouts": {"idle": 5}},
        audit={"store": "/a"},
        lab={"products": ["Office"], "activation_interval": 20},
        dns={"servers": ["::1"]},
    )
    assert in_force(started, new) == wanted


# Several workers' answers.


def test_workers_answers_are_put_together() -> None:
    def worker(state: str, busy: int) -> Any:
        return {"paused": False, "upstreams": [{"name": "kms1", "state": state, "weight": 100, "busy": busy}]}

    assert merged([worker("up", 2), worker("down", 3)]) == {
        "paused": False,
        "upstreams": [{"name": "kms1", "state": "down/up", "weight": 100, "busy": 5}],
    }
    assert merged([{"changed": ["web.listen"]}, {"changed": ["web.listen", "dns.servers"]}, {"changed": []}]) == {
        "changed": ["web.listen", "dns.servers"]
    }


@ensureDeferred
async def test_a_socket_whose_name_somebody_removed_keeps_no_server_from_ending(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "run", 1688)
    service = await serve(path)
    path.unlink()
    stopped = maybeDeferred(service.stopService)
    # It fails here if the server does not end.
    await stopped.addTimeout(PATIENCE, reactor)
