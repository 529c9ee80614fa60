"""Who may log in: a file of users with scrypt hashes, one on each line, `name:scrypt$N$r$p$salt$hash`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from kmstwist.admission.rates import TokenBuckets
from kmstwist.logevents import LOGIN_FAILED
from kmstwist.networks import network_around, normalised
from kmstwist.pacing.bounded import BoundedMap
from kmstwist.pacing.fair_queue import Turns
from kmstwist.problem import ProblemError
from kmstwist.reactor import InThread
from kmstwist.system.secrets import is_open_to_others
from kmstwist.web.responses import Alive, ReadOnly, send_sentence

#: scrypt's cost (RFC 7914): 16 MiB and about 50 ms for each guess.
_N, _R, _P = 2**14, 8, 1
_HASH_SIZE = 32
_SALT_SIZE = 16
#: How many failed logins one address may have at once, and how many per minute after those.
_FAILURES_AT_ONCE, _FAILURES_A_MINUTE = 10, 6.0
#: For how many seconds a correct login is remembered, and how many logins and how many failing addresses are.
_RIGHT_FOR = 300.0
_REMEMBERED = 4096
#: How many characters of a name are logged.
_SHOWN = 64
_NAME = re.compile(r"[^\s:#][^\s:]*\Z")


class PasswordFileError(ProblemError):
    """The file of users cannot be used."""


def hash_password(password: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """The second half of the line for a password. `random` returns the salt."""
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
    if is_open_to_others(path, mode):
        raise PasswordFileError(f"the file of users {path} can be read by other users", f"chmod 640 {path}")
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, hashed = line.strip().partition(":")
        if not _NAME.match(name) or not re.fullmatch(r"scrypt(\$\d+){3}(\$[A-Za-z0-9+/=]+){2}", hashed):
            raise PasswordFileError(
                f"{path}, line {number}: not NAME:HASH", "write the line again with: kmstwist web password NAME"
            )
        users[name] = hashed
    if not users:
        raise PasswordFileError(f"the file of users {path} names nobody", "add one: kmstwist web password NAME")
    return users


def refuse_bad_name(name: str) -> None:
    """Raise `ValueError` for a text that is not a user name."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not a user name: it has no spaces and no colon")


def with_user(text: str, name: str, hashed: str) -> str:
    """The file's text with a user added, or with another password. Raises `ValueError` for a bad name."""
    refuse_bad_name(name)
    kept = [line for line in text.splitlines() if not line.startswith(f"{name}:")]
    return "\n".join([*kept, f"{name}:{hashed}"]) + "\n"


class Login(UsernamePassword):
    """A name and a password, the client's address, and a hash of the header they came in."""

    def __init__(self, username: bytes, password: bytes, client: str, mark: bytes) -> None:
        super().__init__(username, password)
        self.client = client
        self.mark = mark


class LoginFactory(BasicCredentialFactory):
    """Reads HTTP's basic authentication."""

    def decode(self, response: bytes, request: Request) -> Login:
        """The login that a header holds. Raises `LoginFailed`."""
        read = super().decode(response, request)
        return Login(read.username, read.password, client_of(request), mark_of(request))


def client_of(request: Request) -> str:
    """The address that a request's logins are counted under; for IPv6 its network, since one client has all of it."""
    host = getattr(request.getClientAddress(), "host", "local")
    address = normalised(str(host))
    if address is None or address.version == 4:
        return str(host)
    return network_around(address, 32, 64)


_SECRET = os.urandom(32)


def mark_of(request: Request) -> bytes:
    """The hash by which a request's login is remembered; it does not reveal the password."""
    return hmac.digest(_SECRET, request.getHeader(b"authorization") or b"", "sha256")


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checks a name and password in a thread, one at a time, since the check is deliberately slow.

    Addresses take turns, so that somebody with one login does not wait for all guesses of another.

    Guessing is limited: an address may fail a few times at once and then a few times per minute; beyond that it is
    refused without a check. A correct login is remembered for a while, so that it costs nothing the next time and works
    even from an address that is limited.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        users: Mapping[str, str],
        in_thread: InThread = deferToThread,
        seconds: Callable[[], float] = time.monotonic,
        log: Logger | None = None,
    ) -> None:
        self._users = users
        self._in_thread = in_thread
        self._log = log or Logger(namespace="kmstwist.web")
        self._failures = TokenBuckets(_FAILURES_A_MINUTE, _FAILURES_AT_ONCE, _REMEMBERED, seconds)
        self._right: BoundedMap[bytes, bool] = BoundedMap(_REMEMBERED, _RIGHT_FOR, seconds)
        self._turns: Turns[bool] = Turns()
        # An unknown name takes the same time as a known one.
        self._nobody = hash_password("nobody", lambda size: bytes(size))

    def slowed(self, request: Request) -> bool:
        """Whether a request with a login is to be refused at once, since its address has failed too often."""
        if request.getHeader(b"authorization") is None or self._right.get(mark_of(request)):
            return False
        client = client_of(request)
        if self._failures.take(client):
            self._failures.give_back(client)
            return False
        LOGIN_FAILED.emit(self._log, client=client, why="slowed: it has failed too often; refused without a look")
        return True

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """The user's name; fails with `UnauthorizedLogin`."""
        name: bytes = credentials.username
        given: bytes = credentials.password
        client: str = getattr(credentials, "client", "")
        mark: bytes = getattr(credentials, "mark", b"")
        hashed = self._users.get(name.decode("utf-8", "replace"))
        if mark and self._right.get(mark):
            return succeed(name)
        # Taken now and given back if the login was correct, so that parallel guesses count like sequential ones.
        if client and not self._failures.take(client):
            return fail(UnauthorizedLogin())

        def checked(right: bool) -> bytes | tuple[()]:
            if not right or hashed is None:
                LOGIN_FAILED.emit(
                    self._log, client=client, user=name.decode("utf-8", "backslashreplace")[:_SHOWN], why="wrong"
                )
                raise UnauthorizedLogin
            self._failures.give_back(client)
            if mark:
                self._right.set(mark, True)
            return name

        look = partial(self._in_thread, verify, given.decode("utf-8", "replace"), hashed or self._nobody)
        return self._turns.run(client, look).addCallback(checked)


@implementer(IRealm)
class _Realm:
    """All users see the same site."""

    def __init__(self, root: Resource) -> None:
        self._root = root

    def requestAvatar(self, avatar: object, mind: object, *interfaces: object) -> tuple[Any, Resource, Any]:
        """The site's root."""
        assert IResource in interfaces
        return IResource, self._root, lambda: None


class _Slowed(ReadOnly):
    """The response for an address that has guessed passwords too often."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Say so."""
        request.setHeader("Retry-After", "60")
        send_sentence(request, 429, "too many logins have failed from this address; wait a minute")
        return NOT_DONE_YET


class Guard(HTTPAuthSessionWrapper):
    """Asks for a password everywhere except at /livez, which reveals nothing and which supervisors read without one."""

    def __init__(self, root: Resource, checker: PasswordChecker) -> None:
        super().__init__(Portal(_Realm(root), [checker]), [LoginFactory(b"kmstwist")])
        self._checker = checker

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """The way into the site."""
        if path == b"livez":
            return Alive()
        return _Slowed() if self._checker.slowed(request) else super().getChildWithDefault(path, request)
