"""A restart in place: the new server takes over the listening sockets of the running one; no client notices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, DeferredQueue, gatherResults
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from kmstwist.lab.keys import LabKey
from kmstwist.process import handover
from kmstwist.process.control import ControlService
from kmstwist.process.control_client import socket_path
from kmstwist.process.handover import HandOver, NotHandedOver, TakeOver
from kmstwist.process.listening import Listeners, port_endpoint
from tests.reactors import reactor
from tests.system.gateway_process import (
    Crowd,
    OddHost,
    Visit,
    ask_once,
    bound_client,
    start_gateway,
    start_lab,
    upstream,
)
from tests.system.running import BIN, Server, kmstwist, run

MESSAGE = b"\0\0\6\0" + bytes(256)


class Stream:
    """Clients that come without a pause until they are told to stop, 16 at a time."""

    def __init__(self, server: Server, key: LabKey) -> None:
        self._crowd = Crowd(server, key, at_once=16)
        self._enough = False
        self._coming = Deferred.fromCoroutine(self._come())

    async def _come(self) -> None:
        while not self._enough:
            await self._crowd.come(100)

    async def end(self) -> list[Visit]:
        """Wait for the last client. Returns the results of all."""
        self._enough = True
        await self._coming
        return self._crowd.visits


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with start_lab(tmp_path, "lab") as server:
        yield server


def successor(server: Server, *options: str) -> Server:
    """Start a server that takes this one's place. Returns when it listens."""
    return Server(server.state_dir, "--take-over", *options, port=server.port)


@pytest.mark.parametrize("workers", [1, 2])
@ensureDeferred
async def test_two_restarts_under_load_fail_no_client(lab: Server, tmp_path: Path, workers: int) -> None:
    # A server whose sockets are taken over ends at once: load balancers notice no change.
    text = "[server.timeouts]\nlame_duck = 3600\n" + upstream(lab.port, "lab")
    options = [f"--config={tmp_path / 'kmstwist.toml'}", f"--workers={workers}"]
    with start_gateway(tmp_path, text, options[1]) as first:
        stream = Stream(first, LabKey.load(lab.key))
        await deferToThread(first.wait_for, " conversation ", 50)
        with await deferToThread(successor, first, *options) as second:
            await deferToThread(second.wait_for, " conversation ", 50)
            with await deferToThread(successor, second, *options) as third:
                await deferToThread(third.wait_for, " conversation ", 50)
                visits = await stream.end()
                assert [visit.error for visit in visits if visit.error is not None] == []
                assert {visit.hresult for visit in visits} == {0}
                assert [await deferToThread(server.stop) for server in (first, second)] == [0, 0]
                earlier = sum(" conversation " in line for server in (first, second) for line in server.lines)
                if len(visits) > earlier:
                    # The line of a conversation is written when the server sees its end, which is after the client's.
                    await deferToThread(third.wait_for, " conversation ", len(visits) - earlier)
                third.kill()
                await deferToThread(third.read_to_end)
                # Each client has its line, from one of the three.
                lines = [line for server in (first, second, third) for line in server.lines]
                assert sum(" conversation " in line for line in lines) == len(visits)
                assert any(" handing-over" in line for line in first.lines)
                assert any(re.search(r" took-over waited_ms=\d+$", line) for line in third.lines)


@ensureDeferred
async def test_calls_under_way_are_finished_and_who_comes_meanwhile_waits(tmp_path: Path) -> None:
    calls: DeferredQueue[Any] = DeferredQueue()
    host = OddHost(lambda protocol, call, message: calls.put((protocol, call)))
    # Longer than a slow machine takes to start a server.
    patient = "[gateway]\ndeadline = 60\nattempt_timeout = 60\n[server.timeouts]\ndrain = 60\n"
    with start_gateway(tmp_path, patient + upstream(host.number, "kms1")) as first:
        client = await bound_client(first)
        call = client.request_activation(MESSAGE)
        protocol, executing = await calls.get()
        starting = deferToThread(successor, first, f"--config={tmp_path / 'kmstwist.toml'}")
        await deferToThread(first.wait_for, " handing-over")
        late = Deferred.fromCoroutine(ask_once(first))
        assert calls.pending == []
        protocol.answer(executing, b"from the first")
        assert await call == (0, b"from the first")
        client.close()
        with await starting as second:
            protocol, executing = await calls.get()
            protocol.answer(executing, b"from the second")
            assert await late == (0, b"from the second")
            assert await deferToThread(second.stop) == 0
        assert await deferToThread(first.stop) == 0
    await host.stop()


@ensureDeferred
async def test_a_lab_keeps_its_count(lab: Server, tmp_path: Path) -> None:
    crowd = Crowd(lab, LabKey.load(lab.key))
    await crowd.come(7)
    with await deferToThread(successor, lab) as second:
        assert " clients=7 " in await deferToThread(second.wait_for, " info lab ")


def start(server: Server, *options: str) -> Any:
    """Try to take this one's place, and wait for the end."""
    daemon = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--port={server.port}", "--take-over"]
    return run([*daemon, f"--state-dir={server.state_dir}", *options])


def test_a_mistake_that_is_found_first_leaves_the_other_as_it_was(lab: Server, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_text("no database at all, but long enough to be looked at" * 100)
    (tmp_path / "kmstwist.toml").write_text(f'[audit]\nstore = "{tmp_path / "garbage"}"\n')
    result = start(lab, f"--config={tmp_path / 'kmstwist.toml'}")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert f"the audit store {tmp_path / 'garbage'}" in result.stderr
    assert start(lab, "--listen=tcpp:1").returncode == 1
    (tmp_path / "kmstwist.toml").write_text('[audit.privacy]\nclient = "hash"\n')
    (lab.state_dir / "audit.salt").write_bytes(bytes(32))
    (lab.state_dir / "audit.salt").chmod(0o644)
    result = start(lab, f"--config={tmp_path / 'kmstwist.toml'}")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "others may read the audit's salt; chmod 600" in result.stderr
    # A successor that asked for the sockets and then died is a mistake of the same kind.
    TakeOver.begin(socket_path(lab.state_dir, lab.port)).close()
    assert kmstwist("probe", f"127.0.0.1:{lab.port}").returncode == 0
    assert lab.stop() == 0
    assert not any("handing-over" in line for line in lab.lines)


def test_without_a_running_server_there_is_nothing_to_take_over(lab: Server) -> None:
    assert lab.stop() == 0
    result = start(lab)
    assert result.returncode == 75
    assert result.stderr == (
        f"kmstwist: --take-over: no kmstwist runs with the control socket {socket_path(lab.state_dir, lab.port)}; "
        "name its --port or --run-dir\n"
    )


def test_another_port_is_not_handed_over(lab: Server, tmp_path: Path) -> None:
    """The successor opens its other ports itself; a port that it does not listen on is closed."""
    with Server(lab.state_dir, "--take-over", "--listen=tcp:0:interface=127.0.0.1", port=lab.port) as second:
        line = next(line for line in second.lines if " listening " in line)
        port = line.partition("address=127.0.0.1:")[2].partition(" ")[0]
        assert kmstwist("probe", f"127.0.0.1:{port}").returncode == 0
        assert kmstwist("probe", f"127.0.0.1:{lab.port}").returncode == 2


class InProcess:
    """The old server's side, with its own port, in this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.listeners = Listeners([port_endpoint(reactor, 0)])
        self.ends: list[None] = []
        self.over = HandOver(self.listeners, lambda: 0.0, lambda: None, lambda: self.ends.append(None))
        self.control = ControlService(self.path, self.over.table, reactor)

    async def __aenter__(self) -> InProcess:
        self.control.startService()
        return self

    async def __aexit__(self, *_: object) -> None:
        stopped = [self.control.stopService(), self.listeners.close()]
        await gatherResults([each for each in stopped if each is not None])


async def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(NotHandedOver) as caught:
        await deferToThread(call, *arguments)
    return str(caught.value)


@ensureDeferred
async def test_a_server_that_does_not_listen_yet_says_so(tmp_path: Path) -> None:
    async with InProcess(tmp_path) as old:
        assert (await refusal(TakeOver.begin, old.path)).endswith("control.sock: it does not listen yet")


@ensureDeferred
async def test_a_server_that_does_not_end_is_waited_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_GRACE", 0.0)
    async with InProcess(tmp_path) as old:
        old.listeners.open(Factory())
        [(where, port)] = old.listeners.ports
        taking = await deferToThread(TakeOver.begin, old.path)
        second = await deferToThread(TakeOver.begin, old.path)
        assert taking.socket("tcp:1") is None
        assert taking.socket(where) != port.fileno()
        assert "has not ended within 0 s" in await refusal(taking.complete)
        assert "handed over already" in await refusal(second.complete)
        second.close()
        assert len(old.ends) == 1


@ensureDeferred
async def test_an_earlier_version_does_not_hand_over(tmp_path: Path) -> None:
    control = ControlService(tmp_path / "control.sock", {"status": lambda request: {}}, reactor)
    control.startService()
    assert "does not know the command 'hand-over'" in await refusal(TakeOver.begin, control.path)
    stopped = control.stopService()
    assert stopped is not None
    await stopped
