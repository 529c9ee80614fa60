from __future__ import annotations

import os
from pathlib import Path

import pytest

from kmstwist.lab.filemodes import keep_folder_to_owner, keep_to_owner


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_that_others_could_read_is_its_owners_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    path.write_text("x")
    path.chmod(0o644)
    keep_to_owner(path, make=True)
    assert mode(path) == 0o600
    assert path.read_text() == "x"


def test_a_file_is_made_for_its_owner_only_where_it_is_asked_for(tmp_path: Path) -> None:
    keep_to_owner(tmp_path / "one")
    assert not (tmp_path / "one").exists()
    keep_to_owner(tmp_path / "two", make=True)
    assert mode(tmp_path / "two") == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    other.chmod(0o644)
    (tmp_path / "link").symlink_to(other)
    keep_to_owner(tmp_path / "link", make=True)
    assert mode(other) == 0o644


@pytest.mark.parametrize(("names", "tight"), [(["audit.sqlite", "lab.key"], True), (["audit.sqlite", "mail"], False)])
def test_only_a_folder_of_our_own_files_is_tightened(tmp_path: Path, names: list[str], tight: bool) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chmod(folder, 0o755)
    for name in names:
        (folder / name).write_text("")
    keep_folder_to_owner(folder, ("audit", "lab"))
    assert mode(folder) == (0o700 if tight else 0o755)


def test_a_folder_that_is_missing_or_empty_is_left_alone(tmp_path: Path) -> None:
    keep_folder_to_owner(tmp_path / "none", ("audit",))
    (tmp_path / "empty").mkdir(mode=0o755)
    keep_folder_to_owner(tmp_path / "empty", ("audit",))
    assert mode(tmp_path / "empty") == 0o755
