"""Carrying a gateway's salt to another one: `kmstwist audit salt export` and `import`.

An SQLite store is asked by Python's own module, so that SQLAlchemy is not loaded for it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kmstwist.audit.asking.facts import put_fact
from kmstwist.audit.asking.prepared import row
from kmstwist.audit.asking.transactions import reading, writing
from kmstwist.audit.central.fingerprint import FINGERPRINT, fingerprint, noted
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import SALT_BYTES, SaltError, load_salt
from kmstwist.system.rights import NoFile, opened_text, rights_for_named, rights_in
from kmstwist.system.secrets import is_open_to_others
from kmstwist.system.wholefile import write_whole

if TYPE_CHECKING:
    from kmstwist.audit.asking.transactions import Store

#: How many characters of an exported salt's file are read: more than it has.
_LONGEST_EXPORT = 1000

#: The questions whether anything is stored that may have hashed fields in it.
_HASHED = ("number of records", "machines: all", "number of events")


def export_salt(salt_file: Path, target: Path) -> str:
    """Copy the salt to a new file of mode 0600, as a line of text. Returns the salt's fingerprint.

    Raises StoreError.
    """
    with rights_in(salt_file.absolute().parent):
        if not salt_file.exists():
            raise StoreError(f"there is no salt at {salt_file}: nothing is hashed here yet")
        salt = loaded_salt(salt_file)
    _write(target, f"kmstwist audit salt {salt.hex()}\n".encode())
    return fingerprint(salt)


def import_salt(source: Path, salt_file: Path, store: Store | None) -> tuple[str, Path | None]:
    """Put an exported salt in place of this gateway's. Returns its fingerprint, and where the former one is kept.

    `store` is this gateway's store, if there is one; no server may be using it. Raises StoreError if its records are
    hashed with another salt: they would no longer be found.
    """
    try:
        with opened_text(source) as file:
            text = file.read(_LONGEST_EXPORT).split()
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, UnicodeError, NoFile) as error:
        raise StoreError(
            f"the salt cannot be read from {source}: {getattr(error, 'strerror', None) or error}"
        ) from None
    try:
        salt = bytes.fromhex(text[-1]) if text[:-1] == ["kmstwist", "audit", "salt"] else b""
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise StoreError(f"{source} holds no exported salt", "make it with: kmstwist audit salt export FILE")
    if is_open_to_others(source, mode):
        raise StoreError(f"{source} is open to others", f"chmod 600 {source}")
    if store is not None:
        with reading(store) as connection:
            there = noted(connection)
            empty = not any(row(connection, each, {"most": 1}) not in (None, (0,)) for each in _HASHED)
        if there not in (None, fingerprint(salt)) and empty:
            # Noted at a start; nothing has been stored since.
            with writing(store) as connection:
                put_fact(connection, FINGERPRINT, fingerprint(salt))
        elif there not in (None, fingerprint(salt)):
            raise StoreError(
                f"the records of this gateway's store are hashed with another salt (fingerprint {there})",
                "stop the server, move the store away with its -wal and -shm files, and import again; "
                "a start makes another",
            )
    former = None
    with rights_in(salt_file.absolute().parent):
        if salt_file.exists():
            own = loaded_salt(salt_file)
            if own == salt:
                return fingerprint(salt), None
            former = salt_file.with_name(f"{salt_file.name}.{fingerprint(own)}")
            # Until the other is whole, this one is in its place.
            with suppress(FileExistsError):
                os.link(salt_file, former)
        try:
            write_whole(salt_file, salt)
        except OSError as error:
            raise StoreError(f"{salt_file} cannot be written: {error.strerror or error}") from None
    return fingerprint(salt), former


def loaded_salt(salt_file: Path) -> bytes:
    """The salt in a file, made if there is none. Raises StoreError."""
    try:
        return load_salt(salt_file)
    except SaltError as error:
        raise StoreError.of(error) from None


def _write(path: Path, data: bytes) -> None:
    try:
        with rights_for_named(path):
            write_whole(path, data, new=True)
    except FileExistsError:
        raise StoreError(f"{path} exists already", "name another file") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from None
