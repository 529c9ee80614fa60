from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from Crypto.Hash import HMAC, SHA256

from kmstwist.lab.keys import LabKey, LabKeyError, default_state_dir

SECRET = bytes(range(32))


def hkdf_sha256_one_block(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 written out for at most 32 bytes of output."""
    extracted = HMAC.new(salt, secret, SHA256).digest()
    return HMAC.new(extracted, info + b"\x01", SHA256).digest()[:size]


def test_every_key_is_the_hkdf_of_the_secret_under_its_own_name() -> None:
    key = LabKey(SECRET)
    for name, size in (("v4 mac", 16), ("v5 enc", 16), ("v6 enc", 16), ("v6 mac", 32)):
        expected = hkdf_sha256_one_block(SECRET, b"kmstwist lab", name.encode(), size)
        assert getattr(key, name.replace(" ", "_")) == expected


def test_a_host_id_is_stable_short_and_the_labs() -> None:
    key = LabKey(SECRET)
    assert key.host_id == LabKey(SECRET).host_id != LabKey(bytes(32)).host_id
    assert key.host_id.startswith("LAB-")
    assert len(key.host_id) <= 48


def test_the_text_of_a_key_shows_nothing_of_it() -> None:
    key = LabKey(SECRET)
    assert repr(key) == f"<LabKey of {key.host_id}>" == str(key)


def test_a_secret_of_another_size_is_refused() -> None:
    with pytest.raises(LabKeyError, match="32 bytes; this one has 16"):
        LabKey(bytes(16))


def test_a_new_key_is_made_once_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lab.key"
    umask = os.umask(0)
    try:
        made = LabKey.load_or_create(path, lambda size: bytes(range(size)))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["lab.key"]
    again = LabKey.load_or_create(path, os.urandom)
    assert again.host_id == made.host_id == LabKey(SECRET).host_id


def test_a_key_that_another_process_made_first_is_the_one_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "lab.key"

    def late(size: int) -> bytes:
        path.write_bytes(SECRET)
        path.chmod(0o600)
        return bytes(size)

    assert LabKey.load_or_create(path, late).host_id == LabKey(SECRET).host_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_open_to_others_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "lab.key"
    path.write_bytes(SECRET)
    path.chmod(mode)
    with pytest.raises(LabKeyError, match=f"mode {mode:04o}.*chmod 600"):
        LabKey.load(path)


@pytest.mark.parametrize(("size", "words"), [(0, "only 0"), (31, "only 31"), (33, "more")])
def test_a_key_file_of_another_size_is_refused(tmp_path: Path, size: int, words: str) -> None:
    path = tmp_path / "lab.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(LabKeyError, match=words):
        LabKey.load(path)


@pytest.mark.parametrize("size", [31, 33])
def test_a_file_that_is_not_a_lab_key_is_left_as_it_is(tmp_path: Path, size: int) -> None:
    """Named by mistake, it may be one that others must read, or that is wanted."""
    path = tmp_path / "passwd"
    path.write_bytes(bytes(size))
    path.chmod(0o644)
    with pytest.raises(LabKeyError, match="copy it again from the lab, or name its lab") as refused:
        LabKey.load(path)
    assert "chmod" not in str(refused.value)
    assert "remove" not in str(refused.value)


def test_a_missing_key_is_explained(tmp_path: Path) -> None:
    with pytest.raises(LabKeyError, match="start the lab once"):
        LabKey.load(tmp_path / "lab.key")


def test_a_link_to_a_key_that_is_not_there_is_named_also_where_a_key_would_be_made(tmp_path: Path) -> None:
    path = tmp_path / "lab.key"
    path.symlink_to("/nowhere/lab.key")
    for key in (LabKey.load, lambda link: LabKey.load_or_create(link, os.urandom)):
        with pytest.raises(LabKeyError, match=r"is a link to /nowhere/lab\.key, which is not there"):
            key(path)
    assert path.is_symlink()


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabKeyError, match="is not a file"):
        LabKey.load(tmp_path)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabKeyError, match="--state-dir"):
        LabKey.load_or_create(tmp_path / "file" / "state" / "lab.key", os.urandom)


@pytest.mark.parametrize(
    ("environ", "uid", "folder"),
    [
        ({"HOME": "/root"}, 0, "/var/lib/kmstwist"),
        ({"HOME": "/home/ann"}, 1000, "/home/ann/.local/state/kmstwist"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/s"}, 1000, "/s/kmstwist"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "s"}, 1000, "/home/ann/.local/state/kmstwist"),
    ],
)
def test_the_default_state_folder_follows_the_user(environ: dict[str, str], uid: int, folder: str) -> None:
    assert default_state_dir(environ, uid) == Path(folder)
