"""The pages for contributors are right about news fragments, the changelog, the pages' paths and the site."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAGMENT = re.compile(r"(\d+|\+[A-Za-z0-9_-]+)\.(feature|bugfix|doc|removal|misc)(\.\d+)?\.md")
CONTRIBUTING = sorted((ROOT / "docs" / "contributing").glob("*.md"))


def test_every_news_fragment_has_a_name_that_towncrier_reads_as_meant() -> None:
    names = [path.name for path in (ROOT / "newsfragments").iterdir() if not path.name.startswith(".")]
    assert [name for name in names if not FRAGMENT.fullmatch(name)] == []


def test_towncrier_builds_the_changelog_from_the_fragments() -> None:
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9", "--date", "2000-01-01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "## 9.9.9 (2000-01-01)" in draft
    issues = re.findall(r"\(((?:#\d+(?:, )?)+)\)$", draft, re.MULTILINE)
    named = {
        name.split(".")[0] for name in (path.name for path in (ROOT / "newsfragments").iterdir()) if name[0].isdigit()
    }
    assert {number for group in issues for number in re.findall(r"#(\d+)", group)} == named
    # A number alone tells a reader nothing.
    assert re.findall(r"^- #\d.*", draft, re.MULTILINE) == []


@pytest.mark.parametrize("page", CONTRIBUTING, ids=lambda path: path.stem)
def test_every_path_that_a_page_for_contributors_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:kmstwist|tests|docs|etc|packaging|benchmarks|twisted)/[\w./-]*)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_where_to_change_what_has_twenty_answers() -> None:
    rows = re.findall(r"^\| (?!to \||---)", (ROOT / "docs" / "contributing" / "where.md").read_text(), re.MULTILINE)
    assert len(rows) >= 20


class Sources(HTMLParser):
    """What a browser fetches by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.fetched.append(values.get("src") or "")
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(values.get("href") or "")


def test_the_site_builds_with_every_link_right_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        check=True,
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        sources = Sources()
        sources.feed(page.read_text())
        assert [source for source in sources.fetched if re.match(r"(https?:)?//", source)] == [], page
