"""What a store notes about itself: facts, the privacy policy of its records, where they are forwarded to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kmstwist.audit.asking.prepared import do, rows
from kmstwist.audit.asking.questions import read_fact
from kmstwist.audit.asking.transactions import reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import PRIVACY, Privacy, PrivacyPolicy, SaltError, load_salt

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

T = TypeVar("T")


def put_fact(store: Reader, name: str, value: str) -> None:
    """Write a fact about the store, in place of an earlier one of that name."""
    do(store, "put a fact", {"name": name, "value": value})


def noted(store: Reader, name: str, read: Callable[[str], T], otherwise: T) -> T:
    """A fact about the store, as `read` reads it, and `otherwise` where there is none.

    Raises StoreError for one that cannot be read: somebody has changed it, or the file is damaged.
    """
    found = read_fact(store, name)
    if found is None:
        return otherwise
    try:
        return read(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"what it notes as {name!r} cannot be read", "restore it from a backup") from error


def write_policy(store: Store, policy: PrivacyPolicy, salt_file: Path) -> None:
    """Note the privacy policy of the store's records in the store, so that tools follow the same one."""
    text = json.dumps({"policy": policy.to_dict(), "salt": str(salt_file)})
    with reading(store) as reader:
        if read_fact(reader, PRIVACY) == text:
            return
    with writing(store) as writer:
        put_fact(writer, PRIVACY, text)


def stored_privacy(store: Store) -> Privacy:
    """The privacy policy of this store's records, which tools that add to it or search it must follow.

    Raises StoreError if the policy hashes and its salt is missing.
    """
    with reading(store) as reader:
        found = noted(reader, PRIVACY, _policy_and_salt, None)
    if found is None:
        return Privacy(PrivacyPolicy(), b"")
    policy, salt = found
    if salt is None:
        return Privacy(policy, b"")
    if not salt.exists():
        raise StoreError(
            f"this store's names are hashed with the salt in {salt}, which is missing", "restore that file"
        )
    try:
        return Privacy(policy, load_salt(salt))
    except (SaltError, OSError) as error:
        raise StoreError.of(error) from error


def _policy_and_salt(text: str) -> tuple[PrivacyPolicy, Path | None]:
    """A policy, and the file of its salt, if it hashes."""
    found = json.loads(text)
    hashes = "hash" in found["policy"].values()
    return PrivacyPolicy.from_dict(found["policy"]), Path(found["salt"]) if hashes else None


def targets(store: Store) -> list[str]:
    """The names of the central stores that a store is forwarded to."""
    with reading(store) as reader:
        return [target for (target,) in rows(reader, "targets")]
