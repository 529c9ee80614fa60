"""Root's commands use the rights of the folder's owner, if the system knows that user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kmstwist.system.privileges import owner_of


@pytest.mark.parametrize(("users", "found"), [("0 0 4294967295", True), ("0 12345 1", False)])
def test_the_root_of_an_ordinary_users_namespace_cannot_become_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str, found: bool
) -> None:
    table = tmp_path / "uid_map"
    table.write_text(users + "\n")
    monkeypatch.setattr("kmstwist.system.privileges._UID_MAP", table)
    folder = tmp_path / "of-another"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    assert (owner_of(folder) is not None) is found
