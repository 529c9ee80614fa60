"""The lab's secret and the keys derived from it; there is no other way to give the lab a key.

The secret is 32 random bytes made at the lab's first start and kept in one file; a lab client on another machine needs
a copy of it. All keys that protect messages are derived from it by HKDF (RFC 5869), so that only that lab understands
its messages, and no genuine client or host can mistake them for its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from kmstwist.problem import ProblemError
from kmstwist.system.wholefile import write_whole

SECRET_SIZE = 32
KEY_FILE_NAME = "lab.key"
HOST_ID_PREFIX = "LAB-"
HOST_KEY_PREFIX = "LABHK"

_SALT = b"kmstwist lab"
_AES_KEY_SIZE = 16
_HMAC_KEY_SIZE = 32
_FOLDER_MODE = 0o700


class LabKeyError(ProblemError):
    """The lab's key cannot be read, made or trusted."""


def _derive(secret: bytes, size: int, info: bytes) -> bytes:
    # Imported here: without a key they are not needed, and a command would take twice as long to start.
    from Crypto.Hash import SHA256
    from Crypto.Protocol.KDF import HKDF

    derived: bytes = HKDF(secret, size, _SALT, SHA256, context=info)
    return derived


class LabKey:
    """A lab's secret of 32 bytes, as the keys it derives: AES-128 keys of 16 bytes and an HMAC key of 32.

    Each is derived when it is first asked for, and so are the host's names. `LabKeyError` for a secret of another size.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_SIZE:
            raise LabKeyError(f"a lab key has {SECRET_SIZE} bytes; this one has {len(secret)}")
        self._secret = secret

    @cached_property
    def v4_mac(self) -> bytes:
        """The key of the MAC of version 4."""
        return self._derived(b"v4 mac", _AES_KEY_SIZE)

    @cached_property
    def v5_enc(self) -> bytes:
        """The key that enciphers version 5."""
        return self._derived(b"v5 enc", _AES_KEY_SIZE)

    @cached_property
    def v6_enc(self) -> bytes:
        """The key that enciphers version 6."""
        return self._derived(b"v6 enc", _AES_KEY_SIZE)

    @cached_property
    def v6_mac(self) -> bytes:
        """The key of the MAC of version 6."""
        return self._derived(b"v6 mac", _HMAC_KEY_SIZE)

    @cached_property
    def host_id(self) -> str:
        """The lab host's stable name, at most 48 characters."""
        digits = self._derived(b"host id", 8).hex().upper()
        return HOST_ID_PREFIX + "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))

    @cached_property
    def host_key(self) -> str:
        """What `slmgr /ipk` takes on the lab host: five times five characters, as of a product key.

        Two of them, L and A, are in no product key of Microsoft's.
        """
        key = HOST_KEY_PREFIX + self._derived(b"host key", 10).hex().upper()
        return "-".join(key[at : at + 5] for at in range(0, len(key), 5))

    def telephone_digest(self, message: bytes) -> bytes:
        """What the ids of telephone activation are made of: 32 bytes that HKDF-SHA256 derives for a message."""
        return _derive(self._phone_key, _HMAC_KEY_SIZE, message)

    @cached_property
    def _phone_key(self) -> bytes:
        return self._derived(b"phone", _HMAC_KEY_SIZE)

    def _derived(self, info: bytes, size: int) -> bytes:
        return _derive(self._secret, size, info)

    def __repr__(self) -> str:
        return f"<LabKey of {self.host_id}>"

    @classmethod
    def load(cls, path: Path) -> LabKey:
        """The key in a file; `LabKeyError` if it is missing, unreadable, of another size or open to other users.

        The mode is checked only for a file that can be a key: for any other, advising `chmod` could do harm.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            if path.is_symlink():
                raise LabKeyError(
                    f"the lab key {path} is a link to {path.readlink()}, which is not there",
                    "put the lab's key there, or remove the link to have a new one made",
                ) from None
            raise LabKeyError(
                f"there is no lab key at {path}", f"start the lab once (twistd -n kms) or copy its {KEY_FILE_NAME} here"
            ) from None
        except OSError as error:
            raise LabKeyError(
                f"the lab key {path} cannot be read ({error.strerror})", "check its owner and mode"
            ) from None
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            os.close(descriptor)
            raise LabKeyError(f"the lab key {path} is not a file", f"name the {KEY_FILE_NAME} of the lab")
        with os.fdopen(descriptor, "rb") as file:
            secret = file.read(SECRET_SIZE + 1)
        if len(secret) != SECRET_SIZE:
            size = "more" if len(secret) > SECRET_SIZE else f"only {len(secret)}"
            # Only of a lab's own file is it known that nothing else is lost with it.
            cure = "remove it to have a new one made" if path.name == KEY_FILE_NAME else f"name its {KEY_FILE_NAME}"
            raise LabKeyError(
                f"the lab key {path} has {size} bytes, and a key has {SECRET_SIZE}",
                f"copy it again from the lab, or {cure}",
            )
        if state.st_mode & 0o077:
            raise LabKeyError(
                f"the lab key {path} is open to other users (mode {stat.S_IMODE(state.st_mode):04o})",
                f"chmod 600 {path}",
            )
        return cls(secret)

    @classmethod
    def load_or_create(cls, path: Path, random: Callable[[int], bytes]) -> LabKey:
        """The key in a file, which is made from `random` (bytes of a given number) if there is none.

        A new file has mode 0600 in a folder of mode 0700, and appears whole or not at all: of two processes that start
        together, both end with the same key. `LabKeyError` as for `load`, and if it cannot be made.
        """
        try:
            if path.exists():
                return cls.load(path)
            path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            # If another process was first, its key is the lab's.
            with suppress(FileExistsError):
                write_whole(path, random(SECRET_SIZE), new=True)
        except OSError as error:
            raise LabKeyError(
                f"the lab key {path} cannot be made ({error.strerror})",
                "name a state folder that this user may write (--state-dir)",
            ) from None
        return cls.load(path)


def default_state_dir(environ: Mapping[str, str] | None = None, uid: int | None = None) -> Path:
    """The default folder for the lab's key and memory.

    `/var/lib/kmstwist` for root, else `$XDG_STATE_HOME/kmstwist`, by default `~/.local/state/kmstwist` (XDG Base
    Directory Specification: a relative value is ignored). `LabKeyError` if the user has no home directory.
    """
    environ = os.environ if environ is None else environ
    if (os.geteuid() if uid is None else uid) == 0:
        return Path("/var/lib/kmstwist")
    configured = environ.get("XDG_STATE_HOME", "")
    if configured.startswith("/"):
        return Path(configured) / "kmstwist"
    try:
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        raise LabKeyError("this user has no home directory", "name a state folder (--state-dir)") from None
    return home / ".local/state/kmstwist"
