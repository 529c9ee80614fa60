"""The fingerprint of a salt, and the one that a store has noted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kmstwist.audit.asking.questions import read_fact

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

#: A fact about a store: the fingerprint of the salt that its hashed fields were made with.
FINGERPRINT = "salt fingerprint"


def fingerprint(salt: bytes) -> str:
    """Sixteen hexadecimal digits that tell a salt from others, and do not help to find it."""
    return hashlib.blake2b(salt, digest_size=8, person=b"fingerprint").hexdigest()


def noted(reader: Reader) -> str | None:
    """The fingerprint that a store has noted; None if nothing in it has been hashed yet."""
    return read_fact(reader, FINGERPRINT)
