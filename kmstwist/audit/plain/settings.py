"""The audit's settings, and the key of its hashed fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kmstwist.audit.aside.pragmas import DEFAULT_BUSY_TIMEOUT
from kmstwist.audit.plain.defaults import BATCH, GATHER, QUEUE, OnFailure
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import PrivacyPolicy, SaltError, load_salt
from kmstwist.audit.products.product_name import ProductName
from kmstwist.audit.upkeep.limits import Limits


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit's settings.

    `store` is the SQLite file; `forward_to` a `postgresql://` URL to feed from it, and `forwards` whether this process
    is the one that does (of several on one store, one is); `salt_file` where the key of hashed fields is kept (beside
    the store by default); `names` what the site calls products; `drain` how long the end may wait for a store that
    fails. Times are in seconds.
    """

    store: str
    gateway: str = "kmstwist"
    on_failure: OnFailure = OnFailure.SERVE
    privacy: PrivacyPolicy = field(default_factory=PrivacyPolicy)
    salt_file: Path | None = None
    limits: Limits = field(default_factory=Limits)
    forward_to: str | None = None
    forwards: bool = True
    busy_timeout: float = DEFAULT_BUSY_TIMEOUT
    gather: float = GATHER
    batch: int = BATCH
    queue: int = QUEUE
    names: Sequence[ProductName] = ()
    drain: float = 10.0


def salt_file_of(settings: AuditSettings) -> Path:
    """Where the key of hashed fields is kept."""
    return settings.salt_file or Path(settings.store).with_name("audit.salt")


def salt_of(settings: AuditSettings) -> bytes:
    """The key of hashed fields, made if it is missing; empty if nothing is hashed. Raises `StoreError`."""
    if not settings.privacy.hashes:
        return b""
    try:
        return load_salt(salt_file_of(settings))
    except SaltError as error:
        raise StoreError.of(error) from None
