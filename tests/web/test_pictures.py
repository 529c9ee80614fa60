"""The documentation's pictures: none is missing or unused, and all are small."""

from __future__ import annotations

from pathlib import Path

from tests.web.screenshots import PICTURES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"


def test_every_picture_exists_is_on_a_page_and_all_together_are_small() -> None:
    files = {file.stem: file.stat().st_size for file in FOLDER.glob("*.png")}
    page = (ROOT / "docs" / "site.md").read_text()
    assert set(files) == set(PICTURES)
    assert [name for name in PICTURES if f"](pictures/{name}.png)" not in page] == []
    assert sum(files.values()) < 300_000
