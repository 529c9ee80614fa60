"""Switches set by hand survive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.server.switches import Switches, SwitchesError, SwitchesFile


def test_what_was_kept_last_is_read_and_nothing_is_switched_before(tmp_path: Path) -> None:
    file = SwitchesFile(tmp_path / "state", 1688)
    assert file.read() == Switches(paused=False, drained=frozenset())
    file.write(Switches(paused=True, drained=frozenset({"kms1", "kms2.corp.example:1688"})))
    assert SwitchesFile(tmp_path / "state", 1688).read().drained == {"kms1", "kms2.corp.example:1688"}
    file.write(Switches(drained=frozenset({"kms1"})))
    assert file.read() == Switches(paused=False, drained=frozenset({"kms1"}))
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["switches-1688.json"]


def test_servers_of_one_state_folder_have_switches_of_their_own(tmp_path: Path) -> None:
    SwitchesFile(tmp_path, 1688).write(Switches(paused=True))
    assert not SwitchesFile(tmp_path, 1689).read().paused


def test_what_an_earlier_version_kept_by_the_option_port_counts_until_something_is_switched(tmp_path: Path) -> None:
    SwitchesFile(tmp_path, 1688).write(Switches(paused=True))
    listens_elsewhere = SwitchesFile(tmp_path, 1701, former=1688)
    assert listens_elsewhere.read().paused
    listens_elsewhere.write(Switches())
    assert not listens_elsewhere.read().paused


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"paused": 3}', b'{"drained": "kms1"}', b"\xff\xfe"])
def test_a_damaged_file_is_reported_with_its_cure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "switches-1688.json").write_bytes(content)
    with pytest.raises(SwitchesError, match=r"switches-1688\.json is damaged; delete it"):
        SwitchesFile(tmp_path, 1688).read()


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(SwitchesError, match="cannot be written: "):
        SwitchesFile(tmp_path / "state", 1688).write(Switches())
    (tmp_path / "switches-1.json").mkdir()
    with pytest.raises(SwitchesError, match="cannot be read: Is a directory"):
        SwitchesFile(tmp_path, 1).read()
