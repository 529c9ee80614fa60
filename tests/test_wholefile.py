"""Small files are written whole or not at all, even on a full disk."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kmstwist.audit.central.carried_salt import export_salt, import_salt
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import SaltError, load_salt
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.store import LabStore
from kmstwist.notify.memory import MemoryFault, write_memory
from kmstwist.process.ownership import Ownership, owner
from kmstwist.server.switches import Switches, SwitchesError, SwitchesFile
from kmstwist.system.wholefile import write_whole


@contextmanager
def full_disk() -> Iterator[None]:
    """Keep this process's files from growing: each write fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_on_failure_the_old_file_stays_and_no_draft_is_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_whole(file, "before", 0o644)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_whole(file, "after")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode), names(tmp_path)) == ("before", 0o644, ["file"])
    write_whole(file, "after")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode), names(tmp_path)) == ("after", 0o600, ["file"])


def test_a_new_file_replaces_none_and_follows_no_link(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    other.write_text("another's")
    file.symlink_to(other)
    with pytest.raises(FileExistsError):
        write_whole(file, "new", new=True)
    write_whole(file, "ours")
    assert (file.is_symlink(), file.read_text(), other.read_text()) == (False, "ours", "another's")
    assert names(tmp_path) == ["file", "other"]


def test_the_draft_of_a_process_that_was_killed_is_removed_and_no_other(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    of_dead, of_living = tmp_path / f".file.{ended.pid}.new", tmp_path / f".file.{os.getppid()}.new"
    others = tmp_path / f".other.{ended.pid}.new"
    for draft in (of_dead, of_living, others):
        draft.touch()
    write_whole(tmp_path / "file", "new")
    assert names(tmp_path) == sorted((of_living.name, others.name, "file"))


def salt(folder: Path) -> None:
    load_salt(folder / "audit.salt")


def switches(folder: Path) -> None:
    SwitchesFile(folder, 1688).write(Switches())


def memory(folder: Path) -> None:
    write_memory(folder / "notify.json", "{}")


@pytest.mark.parametrize(("write", "error"), [(salt, SaltError), (switches, SwitchesError), (memory, MemoryFault)])
def test_each_of_our_files_fails_with_a_sentence_and_works_when_there_is_room(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception]
) -> None:
    with full_disk(), pytest.raises(error, match="File too large"):
        write(tmp_path)
    assert names(tmp_path) == []
    write(tmp_path)
    assert len(names(tmp_path)) == 1


def test_a_salt_that_cannot_be_imported_leaves_the_one_in_force(tmp_path: Path) -> None:
    own, other, exported = tmp_path / "audit.salt", tmp_path / "other.salt", tmp_path / "exported"
    before = load_salt(own)
    load_salt(other)
    with full_disk(), pytest.raises(StoreError, match="File too large"):
        export_salt(other, exported)
    assert not exported.exists()
    export_salt(other, exported)
    with full_disk(), pytest.raises(StoreError, match="File too large"):
        import_salt(exported, own, None)
    assert load_salt(own) == before
    _, former = import_salt(exported, own, None)
    assert former is not None
    assert (load_salt(own), former.read_bytes()) == (load_salt(other), before)


def test_a_state_folder_on_a_full_disk_can_still_be_locked(tmp_path: Path) -> None:
    with full_disk():
        kept = Ownership(tmp_path, "gateway", 1688)
    assert owner(tmp_path) == "gateway"
    kept.sign()
    assert (tmp_path / "gateway.lock").read_bytes().endswith(b" 1688\n")


def test_that_a_lab_s_memory_cannot_be_made_is_explained(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(LabFileError, match=r"the lab's memory .*lab\.sqlite cannot be used"):
        LabStore(tmp_path / "lab.sqlite")
    LabStore(tmp_path / "lab.sqlite").close()
    assert names(tmp_path) == ["lab.sqlite"]
