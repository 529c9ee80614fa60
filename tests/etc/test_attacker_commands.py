"""Root's commands in a state folder follow nothing that an attacker with its owner's rights planted there.

Root runs each command in the folder as the attacker left it: every file that the command reads, writes or makes there
is a link to a file of root's, a dangling link, a hard link, a pipe or a folder. Afterwards root's file and folder are
unchanged, and root owns nothing in the attacker's folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.cli.main import kmstwist
from kmstwist.lab.keys import LabKey
from kmstwist.process.ownership import refuse_others_folder
from kmstwist.startup import StartupError
from kmstwist.system.privileges import owner_of
from tests.etc.test_attacker import KINDS, NOBODY, Plant, theirs
from tests.system.running import BIN
from tests.system.running import run as start

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom the attacker is after")
#: What is in a state folder, or may be later: each is planted in turn.
NAMES = (
    *("lab.key", "machines.sqlite", "machines.lock", "audit.sqlite", "audit.salt"),
    *(f"{store}.sqlite-{kind}" for store in ("machines", "audit") for kind in ("wal", "shm", "journal")),
)
#: What root runs there, each with {state} for the folder and {own} for one of root's.
COMMANDS = (
    "lab machine new PC2 --product 'Windows 11 / 10 Enterprise' --state-dir {state}",
    "lab machine list --state-dir {state}",
    "lab machine registry PC1 --state-dir {state}",
    "lab hostkey --state-dir {state}",
    "lab shim {state}/shim --machine PC1 --state-dir {state}",
    "audit verify --store {state}/audit.sqlite",
    "audit vacuum --full --store {state}/audit.sqlite",
    "audit forget PC1 --yes --store {state}/audit.sqlite",
    "audit backup --store {state}/audit.sqlite {state}/lab.key",
    "audit backup --store {state}/audit.sqlite {state}/machines.sqlite-wal",
    "audit salt show --store {state}/audit.sqlite",
    "audit salt export --store {state}/audit.sqlite {state}/lab.key",
    "audit salt import --store {state}/audit.sqlite {own}/salt",
    "events import --no-dns --store {state}/audit.sqlite {own}/events.csv",
    "events import --no-dns --store {state}/audit.sqlite {state}/lab.key",
    "products import --store {state}/audit.sqlite {state}/lab.key",
    "report activity --store {state}/audit.sqlite",
    "log {state}/lab.key",
    "web password admin --password x --file {state}/lab.key",
)
_SALT = "kmstwist audit salt " + "ab" * 32 + "\n"


def run(*words: str) -> Result:
    """Run a command in this process, which is root."""
    result = CliRunner().invoke(kmstwist, words, prog_name="kmstwist", env={"KMSTWIST_CONFIG": ""})
    # The command may have given up rights: take them back, however it ended.
    assert os.geteuid() == os.getegid() == 0
    return result


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a machine and a store in it."""
    state = tmp_path_factory.mktemp("filled") / "state"
    LabKey.load_or_create(state / "lab.key", os.urandom)
    assert (
        run(
            "lab", "machine", "new", "PC1", "--product", "Windows 11 / 10 Enterprise", "--state-dir", str(state)
        ).exit_code
        == 0
    )
    engine = open_engine(str(state / "audit.sqlite"))
    migrate(engine)
    engine.dispose()
    (state / "audit.salt").write_bytes(os.urandom(32))
    (state / "audit.salt").chmod(0o600)
    return state


@pytest.fixture
def own(root: Path) -> Path:
    """A folder of root's own, with root's files."""
    folder = root / "own"
    folder.mkdir(mode=0o700)
    (folder / "salt").write_text(_SALT)
    (folder / "events.csv").write_text("nothing\n")
    for file in folder.iterdir():
        file.chmod(0o600)
    return folder


def given(state: Path, filled: Path) -> Path:
    """The attacker's state folder, restored."""
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(filled, state)
    for path in (state, *state.iterdir()):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    return state


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pipe"])
def test_no_command_of_roots_follows_what_is_planted_in_the_state_folder(
    root: Path, own: Path, filled: Path, kind: str
) -> None:
    plant = Plant(root / "roots")
    own_before = sorted(os.listdir(own))
    for command in COMMANDS:
        state = given(root / "state", filled)
        for name in NAMES:
            plant.at(state / name, kind)
        run(*shlex.split(command.format(state=state, own=own)))
        plant.check()
        roots = [path for path in state.rglob("*") if path.lstat().st_uid == 0 and kind != "hard-link"]
        assert roots == [], command
    assert sorted(os.listdir(own)) == own_before


@pytest.mark.parametrize("name", ["audit.sqlite-wal", "machines.sqlite-shm", "audit.salt"])
def test_each_alone_is_not_followed_either(root: Path, own: Path, filled: Path, name: str) -> None:
    plant = Plant(root / "roots")
    for command in COMMANDS[:1] + COMMANDS[6:8] + COMMANDS[12:14]:
        for kind in ("link", "link-to-nothing", "hard-link"):
            state = given(root / "state", filled)
            plant.at(state / name, kind)
            run(*shlex.split(command.format(state=state, own=own)))
            plant.check()


def test_what_a_command_makes_there_is_the_services_and_what_root_named_is_roots(
    root: Path, own: Path, filled: Path
) -> None:
    state = given(root / "state", filled)
    for command in (COMMANDS[0], "audit backup --store {state}/audit.sqlite {own}/copy", COMMANDS[12]):
        told = run(*shlex.split(command.format(state=state, own=own)))
        assert told.exit_code == 0, told.output
    assert {path.stat().st_uid for path in state.iterdir()} == {NOBODY.pw_uid}
    copy = (own / "copy").stat()
    assert (copy.st_uid, copy.st_mode & 0o777) == (0, 0o600)
    assert run("audit", "verify", "--store", str(own / "copy")).exit_code == 0


def test_a_log_that_is_the_attackers_pipe_is_refused_and_not_waited_for(root: Path) -> None:
    folder = theirs(root / "log")
    os.mkfifo(folder / "kmstwist.log", 0o666)
    told = run("log", str(folder / "kmstwist.log"))
    assert told.exit_code == 1
    assert "is not a file" in told.output


@pytest.fixture
def impostor(root: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A socket in the control socket's place that repeats the first of these answers, or sends without end."""
    folder = theirs(root / "run")
    answers: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "control-1688.sock"))
    os.chown(folder / "control-1688.sock", NOBODY.pw_uid, NOBODY.pw_gid)
    listener.listen()

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answers[0])

    thread = threading.Thread(target=answer)
    thread.start()
    yield folder, answers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize(
    "said",
    [
        b"\x1b]0;owned\x07\n",
        b'{"ok": true}\n',
        b'{"ok": true, "upstreams": 7, "mode": [], "silent": 3}\n',
        b'{"ok": false, "error": "\\u001b[2J\\u001b]0;owned\\u0007"}\n',
        b'{"ok": true, "mode": "gateway", "upstreams": [{"name": "\\u001b[2Jx"}]}\n',
        b"[" * 100_000 + b"\n",
        b'{"ok": true, "conversations": 1' + b"0" * 5000 + b"}\n",
    ],
)
def test_a_control_socket_that_lies_gets_a_sentence_and_a_terminal_obeys_nothing_of_it(
    impostor: tuple[Path, list[bytes]], said: bytes
) -> None:
    folder, answers = impostor
    answers.append(said)
    for verb in (("gateway", "status"), ("upstreams", "list"), ("gateway", "pause"), ("config", "reload")):
        told = run(*verb, "--run-dir", str(folder), "--port", "1688")
        assert told.exception is None or isinstance(told.exception, SystemExit), (verb, told.exception)
        assert "\x1b" not in told.output
        assert "\x07" not in told.output


def test_a_server_that_stays_root_refuses_a_state_folder_of_another_users(root: Path) -> None:
    with pytest.raises(StartupError, match=r"belongs to nobody.*twistd --uid=nobody"):
        refuse_others_folder(theirs(root / "state"))
    # With an address that is not ours, so that it ends in any case; the folder is checked first.
    nowhere = "--listen=tcp:1688:interface=192.0.2.1"
    started = start([str(BIN / "twistd"), "-n", "--pidfile=", "kms", nowhere, f"--state-dir={root / 'state'}"])
    assert started.returncode == 1
    assert started.stderr.startswith(f"kmstwist: the state folder {root / 'state'} belongs to nobody")
    refuse_others_folder(root)
    os.chown(root / "state", 54321, 54321)
    with pytest.raises(StartupError, match=r"belongs to 54321.*start it as that user \(docker run --user 54321\), or"):
        refuse_others_folder(root / "state")
    refuse_others_folder(root / "not there")


def test_the_owner_of_a_folder_is_found(root: Path) -> None:
    assert owner_of(root / "not/there") is None
    outer = theirs(root / "outer")
    (outer / "inner").mkdir()
    owners = [owner_of(outer), owner_of(outer / "inner"), owner_of(outer / "inner/not/there")]
    (root / "link").symlink_to(outer / "inner")
    owners.append(owner_of(root / "link"))
    assert [owner and owner.uid for owner in owners] == [NOBODY.pw_uid] * 4
    open_to_all = root / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(OSError, match="everybody may write there"):
        owner_of(open_to_all)


def words(commands: Sequence[str]) -> set[str]:
    """The verbs of some commands."""
    return {command.split()[0] for command in commands}


def test_every_verb_that_works_on_a_state_folder_is_tried() -> None:
    assert words(COMMANDS) >= {"audit", "events", "lab", "log", "products", "report"}
