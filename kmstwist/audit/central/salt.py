"""One salt for all gateways of a central store: the hashes of one machine must be equal, whichever gateway made them.

Only an administrator can move the salt from one gateway to another (`kmstwist audit salt export` and `import`). The
central store has its fingerprint, which distinguishes two salts and does not reveal them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, exists, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.asking.facts import put_fact
from kmstwist.audit.central.fingerprint import FINGERPRINT, fingerprint, noted
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import SALT_BYTES, Keep, Privacy, PrivacyPolicy, SaltError, load_salt
from kmstwist.system.rights import NoFile, opened_text, rights_for_named, rights_in
from kmstwist.system.secrets import is_open_to_others
from kmstwist.system.wholefile import write_whole

#: How many characters of an exported salt's file are read: more than it has.
_LONGEST_EXPORT = 1000

# What may have hashed fields in it.
_HASHED = (schema.records, schema.machines, schema.events)

#: Whatever a gateway's policy is, these hashes are looked for in a store of several gateways.
ALL_HASHED = PrivacyPolicy(Keep.HASH, Keep.HASH, Keep.HASH, Keep.HASH)


#: What to do where a central store, or a gateway's own, is hashed with another salt.
CENTRAL_CURE = (
    "kmstwist audit salt export FILE on a gateway that has joined; here stop the server, "
    "kmstwist audit salt import FILE, and start it"
)
OWN_CURE = "restore that salt, or move the store away with its -wal and -shm files"


def join(target: Engine, salt: bytes, name: str, cure: str = CENTRAL_CURE) -> None:
    """Note in a store that its fields are hashed with `salt`; the first gateway decides for all.

    Raises StoreError if they are hashed with another salt. `name` names the store in the message.
    """
    if not salt:
        return
    own = fingerprint(salt)
    with reading(target) as connection:
        there = noted(connection)
    if there is None:
        insert = insert_for(target.dialect.name, schema.facts).on_conflict_do_nothing(index_elements=["name"])
        with writing(target) as connection:
            connection.execute(insert, {"name": FINGERPRINT, "value": own})
            there = noted(connection)
    if there != own:
        raise StoreError(f"the fields in {name} are hashed with {another_salt(there, own)}", cure)


def another_salt(there: str | None, own: str) -> str:
    """The message about a store with the fingerprint `there`, for a gateway whose salt has the fingerprint `own`."""
    return f"another salt (fingerprint {there}) than this gateway's ({own}), so one machine would be counted twice"


def privacy_of_central(engine: Engine, salt_file: Path) -> Privacy:
    """How to look for a machine in a central store, as any of its gateways may have stored it.

    `salt_file` is this gateway's salt. Raises StoreError where the store's fields are hashed with another.
    """
    with reading(engine) as connection:
        there = noted(connection)
    if there is None:
        return Privacy(PrivacyPolicy(), b"")
    cure = "name the file with --salt-file, or import the salt of a gateway that has joined: kmstwist audit salt import"
    with rights_in(salt_file.absolute().parent):
        there_is_one = salt_file.exists()
    if not there_is_one:
        raise StoreError(f"its fields are hashed with a salt that is not in {salt_file}", cure)
    with rights_in(salt_file.absolute().parent):
        salt = _loaded(salt_file)
    if fingerprint(salt) != there:
        raise StoreError(
            f"its fields are hashed with another salt (fingerprint {there}) than that in {salt_file} "
            f"({fingerprint(salt)})",
            cure,
        )
    return Privacy(ALL_HASHED, salt)


def export_salt(salt_file: Path, target: Path) -> str:
    """Copy the salt to a new file of mode 0600, as a line of text. Returns the salt's fingerprint.

    Raises StoreError.
    """
    with rights_in(salt_file.absolute().parent):
        if not salt_file.exists():
            raise StoreError(f"there is no salt at {salt_file}: nothing is hashed here yet")
        salt = _loaded(salt_file)
    _write(target, f"kmstwist audit salt {salt.hex()}\n".encode())
    return fingerprint(salt)


def import_salt(source: Path, salt_file: Path, store: Engine | None) -> tuple[str, Path | None]:
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
            empty = all(connection.scalar(select(exists(table.select()))) is False for table in _HASHED)
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
            own = _loaded(salt_file)
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


def _loaded(salt_file: Path) -> bytes:
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
