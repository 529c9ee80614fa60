"""What the pages by task tell people to type is right: configurations load, commands exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from kmstwist.cli.main import kmstwist
from kmstwist.server.configfile import load
from tests.system.running import run

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "install",
    "first-gateway",
    "several-hosts",
    "segmented-networks",
    "cloud",
    "haproxy",
    "monitoring",
    "firewall",
    "upgrade",
    "backup",
    "troubleshooting",
)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str) -> list[str]:
    """The page's code blocks of a kind."""
    return [text for found, text in _BLOCK.findall((DOCS / f"{page}.md").read_text()) if found == kind]


@pytest.mark.parametrize("page", PAGES)
def test_every_configuration_on_the_page_is_in_order(page: str, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        load(file)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_ours_on_the_page_exists_with_its_options(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    for line in re.findall(r"(?:`|^|\$ |&& |\| |-p 0 )kmstwist ((?:[a-z][a-z-]+)[^`|&;\n]*)", text, re.MULTILINE):
        words = line.split()
        command: click.Command = kmstwist
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, line
            command = found
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, line


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = DOCS / name if name else DOCS / f"{page}.md"
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
    (rules,) = (text for text in blocks("firewall", "") if text.startswith("table inet"))
    (tmp_path / "rules").write_text(rules)
    result = run(["/usr/sbin/nft", "-c", "-f", str(tmp_path / "rules")])
    if "Operation not permitted" in result.stderr:
        pytest.skip("nft may not ask the kernel here")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.needs("haproxy")
def test_the_balancers_configuration_is_right(tmp_path: Path) -> None:
    (config,) = (text for text in blocks("haproxy", "") if "frontend kms" in text)
    (tmp_path / "haproxy.cfg").write_text(config)
    result = run(["/usr/sbin/haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")])
    assert result.returncode == 0, result.stderr


def test_the_journal_and_the_log_are_told_in_the_same_words_as_the_program() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    source = "".join(path.read_text() for path in (DOCS.parent / "kmstwist").rglob("*.py"))
    source += (DOCS.parent / "etc/init.d/kmstwist").read_text()
    for sentence in ("is in use by another program", "systemd has not opened that socket", "no such option"):
        assert sentence in text
        assert sentence in source
