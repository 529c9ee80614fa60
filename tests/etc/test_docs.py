"""What the pages tell people to type is right: configurations load, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kmstwist.cli.main import kmstwist
from kmstwist.configuration.reading import load
from kmstwist.process.options import Options
from tests.system.running import run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Every page written by hand; those under reference/ are generated from the program.
PAGES = ("README", *sorted(f"docs/{path.stem}" for path in DOCS.glob("*.md") if path.stem != "machines"))
#: A command in a block, at the start of a line or after a prompt or another command.
_IN_BLOCK = r"(?:^|\$ |&& |\| |-p 0 |root )%s((?: +(?:\"[^\"\n]*\"|'[^'\n]*'|[^|&;>\n\"'])*)?)"
#: A command within a sentence.
_IN_TEXT = r"`%s(?![\w.])([^`>]*)[^`]*`"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (ROOT / f"{page}.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    """The page's code blocks of a kind."""
    return [text for found, text in _BLOCK.findall(text_of(page)) if found == kind]


@pytest.mark.parametrize("page", PAGES)
def test_every_configuration_on_the_page_is_in_order(page: str, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        load(file)


def commands(page: str, program: str) -> list[list[str]]:
    """The words after the program's name, for each of its calls on a page."""
    text = text_of(page).replace("\\\n", " ")
    lines = [line for _, block in _BLOCK.findall(text) for line in re.findall(_IN_BLOCK % program, block, re.MULTILINE)]
    lines += re.findall(_IN_TEXT % program, _BLOCK.sub("", text))
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_ours_on_the_page_exists_with_its_options(page: str) -> None:
    for words in commands(page, "kmstwist"):
        command, context, rest = resolved(words)
        try:
            _, left, _ = command.make_parser(context).parse_args(list(rest))
        except click.UsageError as error:
            raise AssertionError(f"{words}: {error.format_message()}") from None
        # Words left over were given to a command that takes no more; "…" stands for what is not shown.
        assert isinstance(command, click.Group) or [word for word in left if word != "…"] == [], words


def resolved(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the words call, and its own arguments."""
    command: click.Command = kmstwist
    context = click.Context(command, resilient_parsing=True, **command.context_settings)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith(("-", "…")):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, words
        command, context = (
            found,
            click.Context(found, context, info_name=name, resilient_parsing=True, **found.context_settings),
        )
    return command, context, rest


@pytest.mark.parametrize("page", PAGES)
def test_every_daemon_on_the_page_can_be_started_that_way(page: str) -> None:
    for words in filter(None, commands(page, "twistd")):
        assert "kms" in words, words
        Options().parse_only(words[words.index("kms") + 1 :])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = text_of(page)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (ROOT / f"{page}.md").parent / name if name else ROOT / f"{page}.md"
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_every_file_of_etc_the_install_page_names_exists() -> None:
    lines = re.findall(r"^install .+$", (DOCS / "install.md").read_text(), re.MULTILINE)
    words = [word for line in lines for word in line.split() if word.startswith("etc/")]
    assert len(words) > 5
    assert [word for word in words if not list(DOCS.parent.glob(word))] == []


@pytest.mark.needs("nft")
def test_the_nftables_rules_are_right(tmp_path: Path) -> None:
    (rules,) = (text for text in blocks("docs/firewall", "") if text.startswith("table inet"))
    (tmp_path / "rules").write_text(rules)
    result = run(["/usr/sbin/nft", "-c", "-f", str(tmp_path / "rules")])
    if "Operation not permitted" in result.stderr:
        pytest.skip("nft may not ask the kernel here")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.needs("haproxy")
def test_the_balancers_configuration_is_right(tmp_path: Path) -> None:
    (config,) = (text for text in blocks("docs/haproxy", "") if "frontend kms" in text)
    (tmp_path / "haproxy.cfg").write_text(config)
    result = run(["/usr/sbin/haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")])
    assert result.returncode == 0, result.stderr


def test_the_journal_and_the_log_are_described_in_the_program_s_words() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    source = "".join(path.read_text() for path in (DOCS.parent / "kmstwist").rglob("*.py"))
    source += (DOCS.parent / "etc/init.d/kmstwist").read_text()
    for sentence in ("is in use by another program", "systemd has not opened that socket", "no such option"):
        assert sentence in text
        assert sentence in source


def test_what_a_page_shows_of_a_command_s_output_is_what_it_prints() -> None:
    shown = [
        (page, command, output.strip())
        for page in PAGES
        for block in blocks(page, "")
        for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)
        for command, _, output in [part.partition("\n")]
        if re.match(r"kmstwist (keys|setup-client|errors) ", command) and output.strip()
    ]
    assert len(shown) >= 4
    for page, command, output in shown:
        printed = CliRunner().invoke(kmstwist, shlex.split(command)[1:], env={"COLUMNS": "120"}).stdout
        # The terminal on which a page was written may have had wider columns.
        assert printed.split() == output.split(), (page, command)
