"""No argument of any command gives a traceback: each in turn is given a nonsensical value."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from kmstwist.cli.main import kmstwist
from kmstwist.cli.reference import contexts
from tests.audit.making import new_store

#: What nobody means: a Latin-1 byte as Python has it, nothing, much, signs with a meaning, and no numbers.
NONSENSE = ("\udce4b", "", "9" * 400, "x" * 20_000, "nan", "[%*{", "a/../\n\x1b[2J", "::1")
#: What runs until it is ended, or works on the machine itself.
_LEFT_OUT = {"serve", "demo", "service"}
#: A value that is right enough, by the parameter's name, for those that a command wants besides.
_RIGHT = {
    "product": "win10 pro", "name": "PC1", "source": "PC1", "machine": "PC1", "new": "PC2", "host": "127.0.0.1:9",
    "domains": "corp.test", "domain": "corp.test", "days": "3", "trouble": "not-genuine", "target": "copy.sqlite",
    "folder": "folder", "password": "LAB-word", "scenario": "none.toml", "installation_id": "1" * 63,
    "file": "none.txt", "files": "none.txt", "words": "/dli",
}  # fmt: skip


def _leaves() -> Iterator[tuple[list[str], click.Context]]:
    for context in contexts():
        words = context.command_path.split()[1:]
        if not isinstance(context.command, click.Group) and words and words[0] not in _LEFT_OUT:
            yield words, context


LEAVES = {" ".join(words): context for words, context in _leaves()}


def _given(parameter: click.Parameter, value: str) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [value]
    option = max(parameter.opts, key=len)
    if getattr(parameter, "is_flag", False):
        return [option]
    return [f"{option}={value}"]


def _right(parameter: click.Parameter) -> list[str]:
    if not parameter.required:
        return []
    if isinstance(parameter.type, click.Choice):
        return _given(parameter, str(next(iter(parameter.type.choices))))
    return _given(parameter, _RIGHT.get(parameter.name or "", "1"))


class _Reached(click.exceptions.Exit):
    """The command is about to ask the network; what it was given was taken."""


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    new_store(tmp_path).dispose()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOME": str(tmp_path),
        "KMSTWIST_CONFIG": "",
        "KMSTWIST_AUDIT_STORE": str(tmp_path / "audit.sqlite"),
        "KMSTWIST_SERVER__STATE_DIR": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("kmstwist.cli.gateway.web.DEFAULT_FILE", tmp_path / "users")

    def reached(*arguments: Any, **named: Any) -> None:
        raise _Reached(0)

    # The tests' own reactor runs already; whoever wants one of his own has taken his arguments by then.
    for name, module in list(sys.modules.items()):
        if name.startswith("kmstwist.cli") and hasattr(module, "run_reactor"):
            monkeypatch.setattr(module, "run_reactor", reached)
    monkeypatch.setattr("twisted.internet.task.react", reached)
    monkeypatch.setattr("time.sleep", reached)
    return tmp_path


def call(words: list[str]) -> tuple[object, str]:
    """Exit status and output of a command, with the streams as the console script has them."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    former = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(), "utf-8")
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            kmstwist.main(words, prog_name="kmstwist")
    except SystemExit as ended:
        # A text for a status is printed, and the status is 1.
        return (1 if isinstance(ended.code, str) else ended.code), raw.getvalue().decode()
    finally:
        sys.stdin = former
    return 0, raw.getvalue().decode()


@pytest.mark.parametrize("command", LEAVES)
def test_no_argument_ends_in_a_traceback(command: str, quiet: Path) -> None:
    context = LEAVES[command]
    parameters = [each for each in context.command.get_params(context) if each.name not in ("help", "version")]
    for wrong in parameters:
        if wrong.name == "file" and command == "web password":
            continue
        for nonsense in NONSENSE:
            words = command.split()
            # Options first: what follows the first argument is another program's in some commands.
            for each in sorted(parameters, key=lambda one: isinstance(one, click.Argument)):
                words += _given(each, nonsense) if each is wrong else _right(each)
            try:
                status, said = call(words)
            except Exception as error:
                raise AssertionError(f"{[word[:60] for word in words]}: {type(error).__name__}: {error}") from error
            assert "Traceback" not in said, words
            assert status in (0, 1, 2, 130, None), (words, status, said[-300:])
    assert os.getcwd() == str(quiet)
