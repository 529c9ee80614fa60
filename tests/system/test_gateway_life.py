"""The life of a gateway's process: changed configurations, draining, pausing, ending, workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from kmstwist.lab.keys import LabKey
from kmstwist.process.control_client import CommandError
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import FaultError
from tests.ports import free_port
from tests.system.gateway_process import (
    PATIENT,
    Crowd,
    OddHost,
    OddProtocol,
    ask_once,
    at_rest,
    bound_client,
    control,
    start_gateway,
    start_lab,
    until,
    upstream,
)
from tests.system.running import BIN, Server, fields, kmstwist, run
from tests.waiting import PATIENCE, wait_until

MESSAGE = b"\0\0\6\0" + bytes(256)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Server]:
    with start_lab(tmp_path, "lab") as server:
        yield server


class Held:
    """A host that holds every call until it is told to answer, and answers at once after that."""

    def __init__(self) -> None:
        self.calls: list[tuple[OddProtocol, Any]] = []
        self._answers = False
        self.host = OddHost(self._hold)

    def _hold(self, protocol: OddProtocol, call: Any, message: bytes) -> None:
        self.calls.append((protocol, call))
        if self._answers:
            protocol.answer(call, b"at last")

    def answer(self) -> None:
        self._answers = True
        for protocol, call in self.calls:
            protocol.answer(call, b"at last")


def command(server: Server, *arguments: str) -> Deferred[Any]:
    """A `kmstwist` command on a running server."""
    return deferToThread(kmstwist, *arguments, f"--port={server.port}", f"--run-dir={server.state_dir}")


@ensureDeferred
async def test_hosts_are_listed_drained_and_taken_back_with_no_call_cut_off(lab: Server, tmp_path: Path) -> None:
    held = Held()
    text = PATIENT + upstream(held.host.number, "kms1") + upstream(lab.port, "kms2", priority=1)
    with start_gateway(tmp_path, text) as gateway:
        client = await bound_client(gateway)
        call = client.request_activation(MESSAGE)
        await until(gateway, lambda found: found["kms1"]["busy"] == 1)
        done = await command(gateway, "upstreams", "drain", "kms1")
        assert done.stdout == (
            "kms1 is drained; 1 call is still under way there. `kmstwist upstreams undrain kms1` brings it back.\n"
        )
        [visit] = await Crowd(gateway, LabKey.load(lab.key)).come(1)
        assert (visit.hresult, visit.error) == (0, None)
        assert len(held.calls) == 1
        held.answer()
        assert await call == (0, b"at last")
        client.close()
        listed = await command(gateway, "upstreams", "list")
        assert re.search(r"kms1 +drained +0 +100 +0 +0 +0 +1 +0 +0", listed.stdout), listed.stdout
        assert re.search(r"kms2 +up +1 +100 ", listed.stdout)
        assert [one["name"] for one in json.loads((await command(gateway, "upstreams", "list", "--json")).stdout)] == [
            "kms1",
            "kms2",
        ]
        back = await command(gateway, "upstreams", "undrain", "kms1")
        assert back.stdout == "kms1 is back in use; it is up.\n"
        wrong = await command(gateway, "upstreams", "drain", "kms9")
        assert (wrong.returncode, wrong.stderr) == (1, "Error: no upstream is named 'kms9'; there are: kms1, kms2\n")
    await held.host.stop()


@ensureDeferred
async def test_a_paused_gateway_tells_clients_to_come_back_and_a_resumed_one_serves_them(
    lab: Server, tmp_path: Path
) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab")) as gateway:
        assert (await command(gateway, "gateway", "pause")).returncode == 0
        outcome = await ask_once(gateway)
        assert isinstance(outcome, FaultError)
        assert outcome.status == FaultStatus.SERVER_TOO_BUSY
        assert "paused" in (await command(gateway, "gateway", "status")).stdout
        assert (await command(gateway, "gateway", "resume")).returncode == 0
        [visit] = await Crowd(gateway, LabKey.load(lab.key)).come(1)
        assert visit.hresult == 0
        assert gateway.conversations(1)[0]["reason"] == "server-paused"


@ensureDeferred
async def test_switches_set_by_hand_survive_a_reload_and_a_restart(lab: Server, tmp_path: Path) -> None:
    text = upstream(free_port(), "kms1") + upstream(lab.port, "kms2", priority=1)
    with start_gateway(tmp_path, text) as gateway:
        assert (await command(gateway, "upstreams", "drain", "kms1")).returncode == 0
        assert (await command(gateway, "gateway", "pause")).returncode == 0
        (tmp_path / "kmstwist.toml").write_text(text + "[gateway.pool]\nfloor = 3\n")
        assert (await control(gateway, "reload"))["changed"] == ["gateway.pool.floor"]
        found = await until(gateway, lambda found: found["kms2"]["idle"] == 3)
        assert (found["kms1"]["state"], found["kms1"]["idle"]) == ("drained", 0)
        # However the process ends.
        gateway.kill()
    for workers in ("--workers=1", "--workers=2"):
        with start_gateway(tmp_path, text, workers, port=gateway.port) as gateway:
            gateway.wait_for(r" still-switched paused=yes drained=kms1 cure=.*kmstwist upstreams undrain kms1")
            gateway.wait_for(" listening ", int(workers[-1]))
            assert [one["state"] for one in (await control(gateway, "upstreams"))["upstreams"]] == ["drained", "up"]
            assert (await control(gateway, "status"))["paused"]
            if workers == "--workers=2":
                assert (await command(gateway, "gateway", "resume")).stdout == "Clients are answered again.\n"
            assert gateway.stop() == 0
    with start_gateway(tmp_path, upstream(lab.port, "kms2"), port=gateway.port) as gateway:
        gateway.wait_for(r" still-switched drained=kms1 cure=\"kmstwist upstreams undrain kms1\"")
        gone = await command(gateway, "upstreams", "undrain", "kms1")
        assert gone.stdout == "kms1 is no longer drained; there is no upstream of that name at present.\n"
        again = await command(gateway, "upstreams", "undrain", "kms1")
        assert again.stderr == "Error: no upstream is named 'kms1'; there are: kms2\n"


@ensureDeferred
async def test_a_switch_that_cannot_be_saved_is_done_with_a_warning(lab: Server, tmp_path: Path) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "kms1")) as gateway:
        (gateway.state_dir / f"switches-{gateway.port}.json").mkdir()
        paused = await command(gateway, "gateway", "pause")
        assert paused.returncode == 0
        assert paused.stdout.startswith("Paused: ")
        assert re.fullmatch(r"This will not hold after a restart: .*\.json cannot be written: .*\.\n", paused.stderr)
        gateway.wait_for(" switches-lost ")


@ensureDeferred
async def test_a_changed_configuration_is_taken_without_dropping_a_connection_and_a_bad_one_is_refused(
    lab: Server, tmp_path: Path
) -> None:
    held = Held()
    first = upstream(held.host.number, "kms1")
    with start_gateway(tmp_path, PATIENT + first) as gateway:
        file = tmp_path / "kmstwist.toml"
        client = await bound_client(gateway)
        call = client.request_activation(MESSAGE)
        await until(gateway, lambda found: found["kms1"]["busy"] == 1)

        file.write_text(PATIENT + "deadlin = 3\n" + first)
        os.kill(gateway.process.pid, signal.SIGHUP)
        refused = gateway.wait_for(" config-refused ")
        assert f"{file}:4: gateway.deadlin: no such option; did you mean deadline?" in refused
        bad = await command(gateway, "config", "reload")
        assert bad.returncode == 1
        assert "the old one stays" in bad.stderr
        assert "Traceback" not in bad.stderr

        changed = PATIENT + upstream(lab.port, "kms2")
        file.write_text(changed + '[admission]\ndeny = ["127.0.3.0/24"]\n[server]\nport = 1\n')
        good = await command(gateway, "config", "reload")
        assert good.stdout == "In force: gateway.upstreams, admission.deny.\n", good.stderr
        assert [*(await until(gateway, at_rest))] == ["kms2"]
        assert {visit.hresult for visit in await Crowd(gateway, LabKey.load(lab.key)).come(3)} == {0}
        denied = await ask_once(gateway, address="127.0.3.1")
        assert isinstance(denied, FaultError)
        assert denied.status == FaultStatus.ACCESS_DENIED
        held.answer()
        assert await call == (0, b"at last")
        # The same connection goes on, and its next call goes to the new host.
        assert (await client.request_activation(MESSAGE))[0] == 0x8007000D
        client.close()
    await held.host.stop()


@ensureDeferred
async def test_a_stopping_gateway_takes_no_more_clients_finishes_its_calls_and_exits_with_0(tmp_path: Path) -> None:
    held = Held()
    text = PATIENT + upstream(held.host.number, "kms1")
    with start_gateway(tmp_path, text, f"--drain-timeout={PATIENCE}") as gateway:
        client = await bound_client(gateway)
        idle = await bound_client(gateway)
        ended: Deferred[None] = Deferred()
        idle.when_lost = lambda _: ended.callback(None)
        call = client.request_activation(MESSAGE)
        await until(gateway, lambda found: found["kms1"]["busy"] == 1)
        gateway.process.send_signal(signal.SIGTERM)
        await ended
        refused = await ask_once(gateway)
        assert "refused" in refused.detail
        held.answer()
        assert await call == (0, b"at last")
        client.close()
        assert await deferToThread(gateway.stop) == 0
    await held.host.stop()


@ensureDeferred
async def test_a_call_not_finished_by_the_drain_time_is_cut(tmp_path: Path) -> None:
    held = Held()
    with start_gateway(tmp_path, PATIENT + upstream(held.host.number, "kms1"), "--drain-timeout=0.3") as gateway:
        client = await bound_client(gateway)
        call = client.request_activation(MESSAGE)
        await until(gateway, lambda found: found["kms1"]["busy"] == 1)
        outcome: list[Any] = []
        call.addErrback(outcome.append)
        assert await deferToThread(gateway.stop) == 0
        assert len(outcome) == 1
        # By the end of the drain time, not by the call's own timeout.
        assert "not finished within the drain time" in "\n".join(gateway.lines)
    await held.host.stop()


# Workers.


def worker_pids(server: Server) -> list[int]:
    """The process ids of a supervisor's workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


@ensureDeferred
async def test_workers_share_the_port_and_one_that_is_killed_is_replaced_without_a_client_noticing_but_its_own(
    lab: Server, tmp_path: Path
) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        victim = worker_pids(gateway)[0]
        os.kill(victim, signal.SIGKILL)
        # A command that comes while a worker is being started again waits for it.
        await control(gateway, "drain", upstream="lab")
        gateway.wait_for(f" worker-ended .*worker_pid={victim} .*signal 9")
        gateway.wait_for(" listening ", 3)
        assert victim not in worker_pids(gateway)
        # What was switched by hand applies to the new worker too.
        found = await until(gateway, lambda found: True)
        assert found["lab"]["state"] == "drained"
        await control(gateway, "undrain", upstream="lab")
        crowd = Crowd(gateway, LabKey.load(lab.key), addresses=[f"127.0.1.{n}" for n in range(1, 9)])

        def kill_one(number: int) -> None:
            if number == 150:
                os.kill(worker_pids(gateway)[0], signal.SIGKILL)

        crowd.progress = kill_one
        visits = await crowd.come(600)
        failed = [visit for visit in visits if visit.error is not None]
        # A client whose connection the dead worker held loses it, and no other does: at most those at once.
        assert len(failed) <= crowd.at_once
        assert {visit.hresult for visit in visits if visit.error is None} == {0}
        assert gateway.stop() == 0
        assert len([line for line in gateway.lines if " worker-ended " in line]) == 2


@ensureDeferred
async def test_a_reload_reaches_every_worker(lab: Server, tmp_path: Path) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        (tmp_path / "kmstwist.toml").write_text("[admission]\nclient_rate = 5\n[gateway]\ndeadlin = 1\n")
        os.kill(gateway.process.pid, signal.SIGHUP)
        gateway.wait_for(" config-refused ")
        (tmp_path / "kmstwist.toml").write_text("[admission]\nclient_rate = 5\n" + upstream(lab.port, "lab"))
        os.kill(gateway.process.pid, signal.SIGHUP)
        gateway.wait_for(r" config .*changed=admission\.client_rate", 2)
        (tmp_path / "kmstwist.toml").write_text("[gateway]\ndeadlin = 1\n")
        bad = await command(gateway, "config", "reload")
        assert bad.returncode == 1
        assert "gateway.deadlin: no such option" in bad.stderr
        assert gateway.stop() == 0
        assert len([line for line in gateway.lines if " config-refused " in line]) == 2


@ensureDeferred
async def test_a_worker_that_is_replaced_does_as_the_others_do_whatever_the_file_holds_by_now(
    lab: Server, tmp_path: Path
) -> None:
    store, file = tmp_path / "audit.sqlite", tmp_path / "kmstwist.toml"
    # A deadline alone: with the defaults written out beside it, it would contradict one of them.
    first = f'[audit]\nstore = "{store}"\n[gateway]\ndeadline = 4\n'
    with start_gateway(tmp_path, first + upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)

        def replace_both(listening: int) -> None:
            for number in (1, 2):
                os.kill(worker_pids(gateway)[0], signal.SIGKILL)
                # A worker that cannot start is started again and again, so its first end settles the question.
                said = gateway.wait_for(r" listening | worker-ended .*exit (code|status)", listening + number)
                assert " listening " in said

        # The configuration applied last is in force, except for options that need a restart.
        changed = first.replace("audit.sqlite", "other.sqlite") + upstream(lab.port, "lab")
        file.write_text(changed + '[admission]\ndeny = ["127.0.3.0/24"]\n')
        told = await control(gateway, "reload")
        assert (told["changed"], told["restart"]) == (["admission.deny"], ["audit.store"])
        # A refused file does not keep a worker from being replaced, and none of it is applied.
        file.write_text("[gateway]\ndeadlin = 1\n")
        with pytest.raises(CommandError, match="the old one stays"):
            await control(gateway, "reload")
        await deferToThread(replace_both, 2)
        denied = await ask_once(gateway, address="127.0.3.1")
        assert isinstance(denied, FaultError)
        assert denied.status == FaultStatus.ACCESS_DENIED
        assert {visit.hresult for visit in await Crowd(gateway, LabKey.load(lab.key)).come(8)} == {0}
        assert not (tmp_path / "other.sqlite").exists()
        # The new workers read the file as the old ones did.
        file.write_text(changed)
        told = await control(gateway, "reload")
        assert (told["changed"], told["restart"]) == (["admission.deny"], ["audit.store"])
        assert not isinstance(await ask_once(gateway, address="127.0.3.1"), FaultError)
        assert gateway.stop() == 0


@ensureDeferred
async def test_a_reload_reaches_the_supervisor_s_own_lines(lab: Server, tmp_path: Path) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        (tmp_path / "kmstwist.toml").write_text('[server.log]\nformat = "json"\n' + upstream(lab.port, "lab"))
        assert (await control(gateway, "reload"))["changed"] == ["server.log.format"]
        os.kill(worker_pids(gateway)[0], signal.SIGKILL)
        ended = json.loads(gateway.wait_for("worker-ended"))
        assert ended["event"] == "worker-ended"


@ensureDeferred
async def test_a_worker_that_hangs_is_replaced_and_holds_no_command_up(lab: Server, tmp_path: Path) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        await control(gateway, "status")
        victim = worker_pids(gateway)[0]
        os.kill(victim, signal.SIGSTOP)
        # A question gets the other's answer, marked as incomplete; a command fails, for not both have done it.
        asked = await command(gateway, "gateway", "status")
        assert asked.returncode == 0
        assert "A gateway." in asked.stdout
        assert "This is not complete: worker " in asked.stderr
        with pytest.raises(CommandError, match=r"worker \d gave no answer within 2 s; it is replaced if it hangs"):
            await control(gateway, "drain", upstream="lab")
        gateway.wait_for(f" error worker-silent .*worker_pid={victim} ")
        gateway.wait_for(f" worker-ended .*worker_pid={victim} .*signal 9")
        gateway.wait_for(" listening ", 3)
        assert victim not in worker_pids(gateway)
        await control(gateway, "undrain", upstream="lab")
        # At a stop it does not get the time that calls under way have.
        victim = worker_pids(gateway)[0]
        os.kill(victim, signal.SIGSTOP)
        assert gateway.stop() == 0
        assert [line for line in gateway.lines if " worker-silent " in line and f"worker_pid={victim} " in line]


@ensureDeferred
async def test_workers_end_when_their_supervisor_is_killed(lab: Server, tmp_path: Path) -> None:
    with start_gateway(tmp_path, upstream(lab.port, "lab"), "--workers=2") as gateway:
        gateway.wait_for(" listening ", 2)
        assert len(worker_pids(gateway)) == 2
        gateway.kill()
        # The log's end is the end of the last process that could write to it.
        with pytest.raises(AssertionError, match="the server ended"):
            gateway.wait_for("never said")
        assert len([line for line in gateway.lines if " stopped " in line]) == 2


def test_workers_reopen_the_log_file_that_was_rotated_away(lab: Server, tmp_path: Path) -> None:
    log = tmp_path / "kms.log"
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(BIN / "twistd"), "-n", "--pidfile=", f"--logfile={log}", "kms", f"--port={port}", "--workers=2"),
            *(f"--state-dir={tmp_path / 'gateway'}", f"--upstream=127.0.0.1:{lab.port}"),
        ],
        cwd=tmp_path,
    )
    try:
        wait_for_text(log, " listening ", 2)
        log.rename(tmp_path / "kms.log.1")
        process.send_signal(signal.SIGUSR1)
        wait_for_text(log, "", 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert log.read_text().count(" stopped ") == 2
    finally:
        process.kill()
        process.wait(PATIENCE)


def wait_for_text(path: Path, text: str, times: int) -> None:
    """Wait until a file exists and holds a text this many times."""
    wait_until(
        lambda: path.exists() and path.read_text().count(text) >= times, lambda: f"{path} does not hold {text!r}"
    )


def test_a_lab_has_no_workers(tmp_path: Path) -> None:
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path}", "--workers=2"])
    assert result.returncode == 1
    assert result.stderr.startswith("twistd kms: --workers=2: several workers need a gateway, and no upstream is")


def test_a_gateway_is_not_its_own_upstream(tmp_path: Path) -> None:
    options = ["--port=17999", f"--state-dir={tmp_path}", "--upstream=127.0.0.1:17999"]
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", *options])
    assert result.returncode == 1
    assert result.stderr.startswith("kmstwist: upstream 127.0.0.1:17999 is this gateway itself")


@ensureDeferred
async def test_a_name_that_leads_back_to_the_gateway_makes_no_loop(lab: Server, tmp_path: Path) -> None:
    port = free_port()
    text = upstream(lab.port, "lab", priority=1) + f'[[gateway.upstreams]]\nname = "me"\naddress = "LOCALHOST:{port}"\n'
    with start_gateway(tmp_path, text, port=port) as gateway:
        assert {visit.hresult for visit in await Crowd(gateway, LabKey.load(lab.key)).come(3)} == {0}
        down = gateway.wait_for(" upstream-down upstream=me ")
        assert 'detail="that is this gateway itself; name the licensed KMS host"' in down
        assert gateway.stop() == 0
        asked = [line for line in gateway.lines if " conversation " in line and " upstream=" in line]
        assert [fields(line)["upstream"] for line in asked] == ["lab"] * 3


# The commands on files.


def test_config_check_lists_and_counts_all_mistakes(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[server]\nprot = 1\n[gateway]\ndeadline = -1\n")
    result = kmstwist("config", "check", str(tmp_path / "x.toml"))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"{tmp_path}/x.toml:2: server.prot: no such option; did you mean port?",
        f"{tmp_path}/x.toml:4: gateway.deadline: must be at least 0.1, not -1",
        f"Error: {tmp_path}/x.toml has 2 mistakes.",
    ]
    (tmp_path / "x.toml").write_text("")
    assert kmstwist("config", "check", str(tmp_path / "x.toml")).stdout == f"{tmp_path}/x.toml is in order.\n"


def test_config_show_names_the_origin_of_each_value(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[gateway]\ndeadline = 7\n")
    result = kmstwist("config", "show", f"--config={tmp_path}/x.toml", "--port=1700", "--upstream=kms1")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "port = 1700  # --port=1700" in lines
    assert f"deadline = 7.0  # {tmp_path}/x.toml:2" in lines
    assert 'policy = "sticky"  # default' in lines
