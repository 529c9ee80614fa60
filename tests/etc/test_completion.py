"""Completion in real shells: commands, options, and values that this machine knows."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest

from kmstwist.audit.store import insert_batch
from kmstwist.cli.completion import SHELLS, is_closed
from tests.audit.making import START, known, new_store
from tests.etc.conftest import ETC
from tests.system.running import BIN, run
from tests.waiting import PATIENCE

FOLDER = ETC / "completion"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A configuration with two hosts and an audit with two machines; no server runs."""
    folder = tmp_path_factory.mktemp("known")
    store = new_store(folder)
    made = [
        known(START, "pc-one", product="Windows 10 Enterprise"),
        known(START, "pc-two", "10.0.0.8", product="Office"),
    ]
    insert_batch(store, made)
    store.dispose()
    configuration = folder / "kmstwist.toml"
    configuration.write_text(
        f'[server]\nstate_dir = "{folder}"\n'
        '[[gateway.upstreams]]\naddress = "kms1.corp.test:1690"\n[[gateway.upstreams]]\naddress = "kms2.corp.test"\n'
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KMSTWIST_", "COMP_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "KMSTWIST_CONFIG": str(configuration), "HOME": str(folder), "TERM": "dumb"}


def in_bash(typed: str, environment: dict[str, str]) -> str:
    """The words of a line after TAB was pressed at its end, printed by bash itself, one a line."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**environment, "PS1": "", "PS2": ""})
    try:
        setup = f"bind 'set enable-bracketed-paste off'; stty -echo; source {FOLDER / 'kmstwist'}; echo re''ady\n"
        os.write(terminal, setup.encode())
        _read_until(terminal, "ready")
        os.write(terminal, f"{typed}\t".encode())
        # Ctrl-A: the line becomes what another command is given.
        os.write(terminal, b"\x01printf '[%s]' \x05; echo '<e''nd>'\n")
        found: list[str] = re.findall(r"\[kmstwist\].*(?=<end>)", _read_until(terminal, "<end>"))
        return found[-1]
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def _read_until(terminal: int, wanted: str) -> str:
    text = ""
    while wanted not in text:
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        assert ready, text
        text += os.read(terminal, 65536).decode(errors="replace")
    return text


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("kmstwist rep", "[kmstwist][report]"),
        ("kmstwist report expi", "[kmstwist][report][expiring]"),
        ("kmstwist report expiring --fail", "[kmstwist][report][expiring][--fail-if-any]"),
        ("kmstwist log --reason upstream-t", "[kmstwist][log][--reason][upstream-timeout]"),
        ("kmstwist log --reason=upstream-t", "[kmstwist][log][--reason=upstream-timeout]"),
        ("kmstwist upstreams drain kms1", "[kmstwist][upstreams][drain][kms1.corp.test:1690]"),
        ("kmstwist upstreams drain kms1.corp.test:16", "[kmstwist][upstreams][drain][kms1.corp.test:1690]"),
        ("kmstwist report clients --machine PC-T", "[kmstwist][report][clients][--machine][pc-two]"),
        ("kmstwist report clients --upstream k", "[kmstwist][report][clients][--upstream][kms1]"),
        ("kmstwist report products --product Win", "[kmstwist][report][products][--product][Windows 10 Enterprise]"),
        (
            'kmstwist report products --product "Windows 1',
            "[kmstwist][report][products][--product][Windows 10 Enterprise]",
        ),
        (
            "kmstwist report products --product Windows\\ 1",
            "[kmstwist][report][products][--product][Windows 10 Enterprise]",
        ),
    ],
)
def test_bash_completes(typed: str, words: str, environment: dict[str, str]) -> None:
    assert in_bash(typed, environment) == words


@pytest.mark.needs("fish")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("kmstwist report expi", ["expiring"]),
        ("kmstwist report clients --machine pc-", ["pc-one", "pc-two"]),
        ("kmstwist upstreams drain kms", ["kms1.corp.test:1690", "kms2.corp.test:1688"]),
        (
            "kmstwist setup-client --product Windows\\ 11\\ Enterprise\\ LTSC",
            ["Windows 11 Enterprise LTSC 2024, Windows 10 Enterprise LTSC 2021 / 2019"],
        ),
    ],
)
def test_fish_completes(typed: str, offered: list[str], environment: dict[str, str]) -> None:
    command = f"source {FOLDER / 'kmstwist.fish'}; complete -C '{typed}'"
    done = run(["fish", "--no-config", "-c", command], env=environment)
    assert [line.replace("\\", "") for line in done.stdout.splitlines()] == offered, done.stderr


@pytest.mark.needs("zsh")
def test_zsh_completes(environment: dict[str, str]) -> None:
    """As zsh tests its own completions: the function is called with the words, and the test records what it adds."""
    text = (
        f'compdef() {{ :; }}; compadd() {{ eval "print -l -- \\${{${{@[-1]}}[@]}}"; }}\n'
        f"source {FOLDER / '_kmstwist'}\n"
        "words=(kmstwist report clients --machine pc-); CURRENT=5\n_kmstwist_completion\n"
    )
    done = run(["zsh", "-f", "-c", text], env=environment)
    assert done.stdout.split() == ["pc-one", "pc-two"], done.stderr
    assert run(["zsh", "-f", "-n", str(FOLDER / "_kmstwist")]).returncode == 0


def test_without_anything_to_read_completion_stays_silent(tmp_path: Path) -> None:
    environment = {**os.environ, "KMSTWIST_CONFIG": str(tmp_path / "none.toml"), "HOME": str(tmp_path)}
    for line in (
        "report clients --machine p",
        "upstreams drain k",
        "lab slmgr p",
        "report --store /nowhere x --product ",
    ):
        asked = {"COMP_WORDS": f"kmstwist {line}", "COMP_CWORD": "0", "_KMSTWIST_COMPLETE": "bash_complete"}
        done = run([str(BIN / "kmstwist")], env={**environment, **asked})
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", ""), line


@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_are_those_that_the_command_prints(shell: str) -> None:
    file = FOLDER / SHELLS[shell][1]
    assert file.read_text() == run([str(BIN / "kmstwist"), "completion", shell]).stdout, "run `make completion`"


@pytest.mark.parametrize(("line", "closed"), [("a", True), ('a "b', False), ("a 'b\\' c", True), ('a \\"b', True)])
def test_an_open_quote_is_noticed(line: str, closed: bool) -> None:
    assert is_closed(line) is closed


def test_bash_reads_the_script() -> None:
    assert subprocess.run(["bash", "-n", str(FOLDER / "kmstwist")], check=False).returncode == 0
