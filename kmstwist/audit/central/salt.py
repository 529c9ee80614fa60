"""One salt for all gateways of a central store: the hashes of one machine must be equal, whichever gateway made them.

Only an administrator can move the salt from one gateway to another (`kmstwist.audit.central.carried_salt`). The central
store has its fingerprint, which distinguishes two salts and does not reveal them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.central.carried_salt import loaded_salt
from kmstwist.audit.central.fingerprint import FINGERPRINT, fingerprint, noted
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.system.rights import rights_in

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
        salt = loaded_salt(salt_file)
    if fingerprint(salt) != there:
        raise StoreError(
            f"its fields are hashed with another salt (fingerprint {there}) than that in {salt_file} "
            f"({fingerprint(salt)})",
            cure,
        )
    return Privacy(ALL_HASHED, salt)
