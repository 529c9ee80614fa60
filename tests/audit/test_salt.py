"""The salt of hashed fields: copied from one gateway to another, and only one for each store."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmstwist.audit.central.carried_salt import export_salt, import_salt
from kmstwist.audit.central.fingerprint import fingerprint, noted
from kmstwist.audit.central.salt import join, privacy_of_central
from kmstwist.audit.central.url import wrong_in_url
from kmstwist.audit.engine import reading
from kmstwist.audit.plain.defaults import LAB_STORE_FILE_NAME, STORE_FILE_NAME
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import SALT_BYTES, Keep, PrivacyPolicy, load_salt
from kmstwist.audit.settings import AuditSection
from kmstwist.audit.store import insert_batch
from tests.audit.making import START, opaque

ONE, OTHER = bytes(range(SALT_BYTES)), bytes(range(1, SALT_BYTES + 1))


def salt_at(path: Path, salt: bytes) -> Path:
    path.write_bytes(salt)
    path.chmod(0o600)
    return path


def test_a_store_keeps_to_the_salt_of_the_first_that_comes(store: Engine) -> None:
    with reading(store) as connection:
        assert noted(connection) is None
    join(store, b"", "the store")
    join(store, ONE, "the store")
    join(store, ONE, "the store")
    with pytest.raises(StoreError, match="the store are hashed with another salt") as caught:
        join(store, OTHER, "the store")
    assert caught.value.problem.cure.startswith("kmstwist audit salt export")
    with reading(store) as connection:
        assert noted(connection) == fingerprint(ONE)


def test_an_exported_salt_is_imported_and_the_former_one_kept(tmp_path: Path, store: Engine) -> None:
    carried = tmp_path / "carried"
    assert export_salt(salt_at(tmp_path / "one.salt", ONE), carried) == fingerprint(ONE)
    assert carried.stat().st_mode & 0o777 == 0o600
    place = salt_at(tmp_path / "other.salt", OTHER)
    found, former = import_salt(carried, place, store)
    assert (found, load_salt(place)) == (fingerprint(ONE), ONE)
    assert former is not None
    assert former.read_bytes() == OTHER
    assert import_salt(carried, place, store) == (fingerprint(ONE), None)
    assert import_salt(carried, tmp_path / "new.salt", None) == (fingerprint(ONE), None)
    assert load_salt(tmp_path / "new.salt") == ONE


def test_a_salt_is_not_imported_over_records_hashed_with_another(tmp_path: Path, store: Engine) -> None:
    carried = tmp_path / "carried"
    export_salt(salt_at(tmp_path / "one.salt", ONE), carried)
    join(store, OTHER, "the store")
    insert_batch(store, [opaque(START)])
    with pytest.raises(StoreError, match="hashed with another salt") as caught:
        import_salt(carried, tmp_path / "own.salt", store)
    assert caught.value.problem.cure.startswith("stop the server")


def test_a_salt_that_cannot_be_exported_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing is hashed here yet"):
        export_salt(tmp_path / "none", tmp_path / "carried")
    place = salt_at(tmp_path / "one.salt", ONE)
    with pytest.raises(StoreError, match="exists already; name another file"):
        export_salt(place, place)
    with pytest.raises(StoreError, match="cannot be written: No such file or directory"):
        export_salt(place, tmp_path / "nowhere" / "carried")
    salt_at(place, b"short")
    with pytest.raises(StoreError, match="must be 32 bytes and is 5; restore it from a backup"):
        export_salt(place, tmp_path / "carried")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"kmstwist audit salt " + ONE.hex().encode(), None),
        (b"kmstwist audit salt 00", "holds no exported salt; make it with"),
        (b"kmstwist audit salt xyz", "holds no exported salt"),
        (b"something else", "holds no exported salt"),
        (b"", "holds no exported salt"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_file_is_a_salt_or_is_refused(tmp_path: Path, content: bytes, said: str | None) -> None:
    source, place = salt_at(tmp_path / "carried", content), tmp_path / "audit.salt"
    if said is None:
        assert import_salt(source, place, None) == (fingerprint(ONE), None)
        source.chmod(0o644)
        with pytest.raises(StoreError, match="is open to others; chmod 600"):
            import_salt(source, place, None)
    else:
        with pytest.raises(StoreError, match=said):
            import_salt(source, place, None)
        assert not place.exists()


def test_a_central_store_is_asked_with_the_salt_that_it_was_fed_with(tmp_path: Path, store: Engine) -> None:
    place = tmp_path / "audit.salt"
    assert privacy_of_central(store, place).policy == PrivacyPolicy()
    join(store, ONE, "the store")
    with pytest.raises(StoreError, match="a salt that is not in"):
        privacy_of_central(store, place)
    salt_at(place, OTHER)
    with pytest.raises(StoreError, match=f"{fingerprint(ONE)}.*{fingerprint(OTHER)}"):
        privacy_of_central(store, place)
    salt_at(place, ONE)
    assert privacy_of_central(store, place).policy.client is Keep.HASH


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://audit@db.example.com/kmstwist", None),
        ("postgresql+psycopg://audit@db.example.com:5433/kmstwist", None),
        ("mysql://audit@db.example.com/kmstwist", "is not a URL of a PostgreSQL"),
        ("postgresql://audit@db.example.com:abc/kmstwist", "has a port that is not a number"),
        ("postgresql://audit:p@ss@db.example.com/kmstwist", "written as %40"),
        ("postgresql://audit@db.example.com:70000/kmstwist", "has a port that is not from 1 to 65535"),
    ],
)
def test_a_mistake_in_a_url_is_reported_without_the_url(url: str, said: str | None) -> None:
    found = wrong_in_url(url)
    assert found == said if said is None or found is None else said in found
    assert found is None or "p@ss" not in found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"store": "postgresql://h/d"}, "must be the path of a file, not a URL; forward_to is for a PostgreSQL"),
        ({"forward_to": "mysql://h/d"}, "is not a URL of a PostgreSQL; write it as postgresql://USER@HOST/DATABASE"),
    ],
)
def test_a_store_of_the_wrong_kind_is_refused_in_the_settings(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AuditSection(**given)


def test_a_lab_s_records_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    section = AuditSection(forward_to="postgresql://h/d")
    assert section.store_path(tmp_path, lab=False) == tmp_path / STORE_FILE_NAME
    assert section.store_path(tmp_path, lab=True) == tmp_path / LAB_STORE_FILE_NAME
    assert AuditSection(store="/elsewhere/a.sqlite").store_path(tmp_path, lab=True) == Path("/elsewhere/a.sqlite")
