"""Privacy: which of a record's fields are stored as they are, shortened, hashed, or not at all.

Applied before anything is stored, so what policy forbids never reaches the disk. Hashes are keyed with a salt that
stays on the gateway (a file of mode 0600): without it, a hash of an IPv4 address would be undone by trying them all.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from kmstwist.networks import network_around, parse_address
from kmstwist.problem import ProblemError, WrongValue
from kmstwist.system.wholefile import write_whole

#: A fact about the store: the privacy policy of its records.
PRIVACY = "privacy"

# The configuration is read by commands that have no use for records.
if TYPE_CHECKING:
    from kmstwist.audit.records import Record

_ROOM = "free some space on its disk, or let this user write there"
SALT_BYTES = 32
HASH_PREFIX = "h:"


class Keep(StrEnum):
    """How a field is stored."""

    FULL = "full"
    TRUNCATE = "truncate"
    HASH = "hash"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class PrivacyPolicy:
    """One choice per field. `client` cannot be dropped: a record without it would be about nobody.

    Truncated: an address becomes its /24 or /48, a machine's name its domain (`pc1.example.com` becomes
    `*.example.com`), a CMID its first eight digits.
    """

    client: Keep = Keep.FULL
    peer: Keep = Keep.FULL
    machine: Keep = Keep.FULL
    cmid: Keep = Keep.FULL

    def __post_init__(self) -> None:
        if self.client is Keep.DROP:
            raise WrongValue('client cannot be "drop", because a record must be about someone', 'use "hash"', "privacy")

    @property
    def hashes(self) -> bool:
        """Whether any field is hashed, so that a salt is needed."""
        return Keep.HASH in (self.client, self.peer, self.machine, self.cmid)

    @classmethod
    def from_dict(cls, choices: dict[str, str]) -> PrivacyPolicy:
        """The policy of a table of field names and choices; raises `WrongValue` for what is not known."""
        known = {field.name for field in fields(cls)}
        for name, choice in choices.items():
            if name not in known:
                raise WrongValue(f"no field {name!r}", f"there are {', '.join(sorted(known))}", "privacy")
            if choice not in set(Keep):
                raise WrongValue(f"{name} cannot be {choice!r}", f"choose one of {', '.join(Keep)}", "privacy")
        return cls(**{name: Keep(choice) for name, choice in choices.items()})

    def to_dict(self) -> dict[str, str]:
        """The policy as a table of names and choices, as `from_dict` reads it."""
        return {name: str(choice) for name, choice in asdict(self).items()}


class Privacy:
    """Applies a policy. `salt` is the key of the hashes: `SALT_BYTES` random bytes."""

    def __init__(self, policy: PrivacyPolicy, salt: bytes) -> None:
        self.policy = policy
        self._salt = salt
        #: Whether everything is stored as it is, so that nothing need be applied.
        self.idle = policy == PrivacyPolicy()

    def apply(self, record: Record) -> Record:
        """The record as it may be stored."""
        if self.idle:
            return record
        return replace(
            record,
            client=self.address(record.client, self.policy.client) or "",
            peer=self.address(record.peer, self.policy.peer),
            machine=self.machine(record.machine),
            cmid=self.cmid(record.cmid),
            # A detail is a sentence that may name the client, so it is dropped unless the address is stored in full.
            detail=record.detail if self.policy.client is Keep.FULL and self.policy.machine is Keep.FULL else "",
        )

    def client(self, address: str) -> str:
        """A client's address in the form to store."""
        return self.address(address, self.policy.client) or ""

    def address(self, address: str | None, keep: Keep) -> str | None:
        """An address, treated as `keep` says."""
        if address is None:
            return None
        match keep:
            case Keep.FULL:
                return address
            case Keep.TRUNCATE:
                return _truncated_address(address)
            case Keep.HASH:
                return self._hash("address", address)
        # What is dropped.
        return None

    def machine(self, name: str | None) -> str | None:
        """A machine's name in the form to store."""
        if not name:
            return None
        match self.policy.machine:
            case Keep.FULL:
                return name
            case Keep.TRUNCATE:
                return f"*.{name.partition('.')[2]}" if "." in name else "*"
            case Keep.HASH:
                return self._hash("machine", name.lower())
        # What is dropped.
        return None

    def cmid(self, cmid: str | None) -> str | None:
        """A client machine id in the form to store."""
        if cmid is None:
            return None
        match self.policy.cmid:
            case Keep.FULL:
                return cmid
            case Keep.TRUNCATE:
                return cmid[:8]
            case Keep.HASH:
                return self._hash("cmid", cmid.lower())
        # What is dropped.
        return None

    def _hash(self, field: str, value: str) -> str:
        digest = hashlib.blake2b(
            value.encode("utf-8", "replace"), digest_size=12, key=self._salt, person=field.encode()
        )
        return HASH_PREFIX + digest.hexdigest()


def _truncated_address(address: str) -> str:
    parsed = parse_address(address)
    return "unknown" if parsed is None else network_around(parsed, 24, 48)


class SaltError(ProblemError):
    """The file of the salt cannot be used."""


def load_salt(path: Path) -> bytes:
    """The salt in the file at `path`, made at first use with mode 0600.

    Raises `SaltError` if the file is not `SALT_BYTES` long or others may read it. A damaged salt is never replaced
    silently: with a new one, no hash stored so far would match any more.
    """
    if not path.exists():
        try:
            write_whole(path, secrets.token_bytes(SALT_BYTES), new=True)
        except FileExistsError:
            # Another process was first: its salt is everybody's.
            pass
        except OSError as error:
            raise SaltError(f"the audit's salt cannot be made ({error.strerror})", _ROOM, str(path)) from None
    salt = path.read_bytes()
    if path.stat().st_mode & 0o077:
        raise SaltError("others may read the audit's salt", f"chmod 600 {path}", str(path))
    if len(salt) != SALT_BYTES:
        raise SaltError(
            f"the audit's salt must be {SALT_BYTES} bytes and is {len(salt)}", "restore it from a backup", str(path)
        )
    return salt
