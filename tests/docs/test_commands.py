"""Every kmstwist and twistd command that a message, a help text or a page tells people to type exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kmstwist.cli.main import kmstwist
from kmstwist.process.options import Options
from tests.docs.page import ROOT, steps

_QUOTED = re.compile(r"`((?:\.venv/bin/)?(?:kmstwist|twistd) [^`]+)`")
#: In a sentence a command goes on as long as its words look like a command's.
_IN_PROSE = re.compile(
    r"(?<![\w/.-])((?:kmstwist|twistd)(?: +(?:--?[a-z][\w-]*(?:=\S+)?|[a-z][a-z-]+|[A-Z][A-Z-]+|[\w./:-]+\.[a-z]+|…))+)"
)
#: Sentences in which "the lab" is not a command.
_NO_COMMANDS = ("kmstwist lab host", "kmstwist lab answers")
_HELD = {"-h", "--help"}
#: twistd's own, which stand before kms.
_TWISTDS = {
    "-n",
    "-y",
    "--nodaemon",
    "--pidfile",
    "--logfile",
    "--uid",
    "--gid",
    "--umask",
    "--rundir",
    "--reactor",
    "--python",
}


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module with their lines; each placeholder becomes one word in capitals."""
    source = path.read_text()
    if not re.search(r"kmstwist |twistd ", source):
        return
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "WORD" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value


def _fault(line: str) -> str | None:
    """Why a command line is wrong; None if its words are right."""
    words = line.replace("\\\n", " ").split("#")[0].split()
    words[0] = words[0].removeprefix(".venv/bin/")
    return _twistd_fault(words[1:]) if words[0] == "twistd" else _own_fault(words[1:])


def _twistd_fault(words: list[str]) -> str | None:
    if "kms" not in words:
        return None
    at = words.index("kms")
    wrong = [word for word in words[:at] if word.startswith("-") and word.split("=")[0] not in _TWISTDS]
    known = {f"--{name.rstrip('=')}" for name in Options().longOpt} | _HELD | {"-c"}
    wrong += [word for word in words[at:] if word.startswith("-") and word.split("=")[0] not in known]
    return f"no option {wrong[0]}" if wrong else None


def _own_fault(words: list[str]) -> str | None:
    command: click.Command = kmstwist
    options, context = _options(command), click.Context(command)
    for word in words:
        if word in ("|", "||", "<", ">", ">>", "&&", ";", "2>&1", "&"):
            break
        if word.startswith("-") and len(word) > 1:
            if command.name in ("serve", "show") or re.match(r"-\d", word):
                return None
            if command.ignore_unknown_options or word.split("=")[0] in options | _HELD:
                continue
            return f"{command.name} has no option {word}"
        if isinstance(command, click.Group):
            if (found := command.get_command(context, word.rstrip(".,:)"))) is None:
                return None if re.fullmatch(r"[A-Z.…\[]+.*", word) else f"{command.name} has no command {word}"
            command, context = found, click.Context(found)
            options |= _options(found)
    return None


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def _in_text(text: str) -> Iterator[str]:
    yield from (found[1] for found in _QUOTED.finditer(text))
    verbs = set(kmstwist.list_commands(click.Context(kmstwist)))
    for found in _IN_PROSE.finditer(_QUOTED.sub("", text)):
        words = found[1].split()
        if found[1].startswith(_NO_COMMANDS) and words[2] != "hostkey":
            continue
        if (words[1] in verbs and words[0] == "kmstwist") or (words[0] == "twistd" and "kms" in words):
            yield found[1]


def _faults(where: str, lines: Iterator[str]) -> list[str]:
    return [f"{where}: {line}: {fault}" for line in lines if (fault := _fault(line))]


@pytest.mark.parametrize(
    "page", sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
)
def test_the_commands_of_a_page_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    typed = (step.command for step in steps(text) if re.match(r"(kmstwist|twistd) ", step.command))
    assert _faults(page, typed) + _faults(page, _in_text(text)) == []


def test_the_commands_in_messages_and_helps_exist() -> None:
    found = [
        fault
        for path in sorted((ROOT / "kmstwist").rglob("*.py"))
        for line, text in _texts(path)
        for fault in _faults(f"{path.relative_to(ROOT)}:{line}", _in_text(text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("kmstwist gateway status", None),
        ("kmstwist gateway stauts", "gateway has no command stauts"),
        ("kmstwist probe --throuhg HOST", "probe has no option --throuhg"),
        ("twistd -n kms --usptream kms1", "no option --usptream"),
        ("twistd --nodemon kms", "no option --nodemon"),
    ],
)
def test_a_missing_command_is_found(line: str, fault: str | None) -> None:
    assert _fault(line) == fault
