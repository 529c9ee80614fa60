"""A terminal obeys nothing in a command's input: neither in a file's name nor in its contents."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kmstwist.cli.main import kmstwist
from kmstwist.process.options import Options

NAME = "x\x1b]0;owned\x07\r"
COMMANDS = (
    ("config", "check", "{file}"),
    ("config", "show", "--config", "{file}"),
    ("config", "where", "--config", "{file}"),
    ("doctor", "--config", "{file}", "--timeout", "0.1"),
    ("audit", "verify", "--store", "{file}"),
    ("events", "import", "--store", "{folder}/store", "{file}"),
    ("products", "import", "--store", "{folder}/store", "{file}"),
    ("log", "{file}"),
    ("log", "{file}.none"),
    ("keys", "{file}"),
    ("gateway", "status", "--run-dir", "{file}"),
    ("lab", "machine", "list", "--state-dir", "{file}"),
    ("lab", "activate", "--lab-key", "{file}", "--product", "Windows 11 / 10 Enterprise"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose name and content hold escapes."""
    path = tmp_path / NAME
    path.write_text("[gateway\x1b]0;owned\x07")
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_terminal_obeys_nothing_of_a_files_name_or_content(file: Path, command: tuple[str, ...]) -> None:
    words = [word.format(file=file, folder=file.parent) for word in command]
    told = CliRunner().invoke(kmstwist, words, prog_name="kmstwist", env={"KMSTWIST_CONFIG": ""})
    assert "owned" in told.output
    assert not {"\x1b", "\x07", "\r"} & set(told.output)


def test_nor_of_what_twistd_was_given(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["twistd"])
    for words in ([f"--config={file}"], [f"--{NAME}"], [f"--port={NAME}"]):
        with pytest.raises(SystemExit) as ended:
            Options().parseOptions(words)
        assert "owned" in str(ended.value.code)
        assert not {"\x1b", "\x07", "\r"} & set(str(ended.value.code))
