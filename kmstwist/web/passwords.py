"""Who may look: a file of users with scrypt hashes, one a line, `name:scrypt$N$r$p$salt$hash`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from kmstwist.problem import ProblemError

#: scrypt's cost (RFC 7914): 16 MiB and some 50 ms a guess.
_N, _R, _P = 2**14, 8, 1
_HASH_SIZE = 32
_SALT_SIZE = 16
_NAME = re.compile(r"[^\s:#][^\s:]*\Z")


class PasswordFileError(ProblemError):
    """The file of users cannot be used."""


def hash_password(password: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """The line's second half for a password. `random` gives the salt."""
    salt = random(_SALT_SIZE)
    digest = _scrypt(password, salt, _N, _R, _P)
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(salt), _text(digest)))


def verify(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed."""
    _, n, r, p, salt, digest = hashed.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=_HASH_SIZE, maxmem=2**26)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def load_users(path: Path) -> dict[str, str]:
    """The users and their hashes. Raises `PasswordFileError`."""
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except OSError as error:
        raise PasswordFileError(
            f"the file of users {path} cannot be read ({error.strerror})", "make it with: kmstwist web password NAME"
        ) from None
    if mode & 0o007:
        raise PasswordFileError(f"the file of users {path} is open to other users", f"chmod 640 {path}")
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, hashed = line.strip().partition(":")
        if not _NAME.match(name) or not re.fullmatch(r"scrypt(\$\d+){3}(\$[A-Za-z0-9+/=]+){2}", hashed):
            raise PasswordFileError(f"{path}, line {number}: not NAME:HASH as kmstwist web password writes it")
        users[name] = hashed
    if not users:
        raise PasswordFileError(f"the file of users {path} names nobody", "add one: kmstwist web password NAME")
    return users


def with_user(text: str, name: str, hashed: str) -> str:
    """The file's text with a user added, or given another password. Raises `ValueError` for a name that is none."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no user name: it has no spaces and no colon")
    kept = [line for line in text.splitlines() if not line.startswith(f"{name}:")]
    return "\n".join([*kept, f"{name}:{hashed}"]) + "\n"


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checks a name and password; the work is done in a thread, since it is meant to be slow."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, users: Mapping[str, str], in_thread: Callable[..., Deferred[bool]] = deferToThread) -> None:
        self._users = users
        self._in_thread = in_thread
        # An unknown name costs the same time as a known one.
        self._nobody = hash_password("nobody", lambda size: bytes(size))

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """The user's name; fails with `UnauthorizedLogin`."""
        name: bytes = credentials.username
        given: bytes = credentials.password
        hashed = self._users.get(name.decode("utf-8", "replace"))

        def checked(right: bool) -> bytes | tuple[()]:
            if not right or hashed is None:
                raise UnauthorizedLogin
            return name

        return self._in_thread(verify, given.decode("utf-8", "replace"), hashed or self._nobody).addCallback(checked)
