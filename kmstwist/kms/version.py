"""The version word that opens every KMS message, in clear in all protocol versions.

The low half is the minor, the high half the major version; majors 4, 5 and 6 exist (Volume Activation 2.0 Operations
Guide, "KMS RPC Messages").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

VERSION_SIZE = 4


class Version(NamedTuple):
    """A KMS protocol version, such as 6.0."""

    major: int
    minor: int

    @property
    def word(self) -> int:
        """The version as the unsigned 32-bit integer of the wire."""
        return self.major << 16 | self.minor

    @classmethod
    def from_word(cls, word: int) -> Version:
        """The version that an unsigned 32-bit word stands for."""
        return _from_word(word)

    @classmethod
    def of(cls, message: bytes) -> Version:
        """The version of a whole request or response, from its first 4 bytes. Raises `ValueError` for fewer."""
        if len(message) < VERSION_SIZE:
            raise ValueError(f"a KMS message starts with a version word of 4 bytes; this one has {len(message)} bytes")
        return cls.from_word(int.from_bytes(message[:VERSION_SIZE], "little"))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


# There are three versions, and whatever a stranger sends.
@lru_cache(maxsize=64)
def _from_word(word: int) -> Version:
    return Version(word >> 16 & 0xFFFF, word & 0xFFFF)


V4 = Version(4, 0)
V5 = Version(5, 0)
V6 = Version(6, 0)
#: The versions that exist, by the bytes with which their messages begin.
VERSIONS: Final = {version.word.to_bytes(VERSION_SIZE, "little"): version for version in (V4, V5, V6)}
