"""Password guesses are logged and slowed down, cost little, and lock nobody else out."""

from __future__ import annotations

import base64
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.test.requesthelper import DummyRequest

from kmstwist.telemetry.counters import Counters, Snapshot
from kmstwist.web.passwords import LoginFactory, PasswordChecker
from kmstwist.web.site import make_site
from tests.logs import logger


class Door:
    """A checker whose threads the test runs, with its log."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[dict[str, Any]] = []
        self.work: list[tuple[Deferred[bool], str]] = []
        self.checker = PasswordChecker(
            {"ann": "the hash of secret"},
            self._in_thread,
            self.clock.seconds,
            logger(lambda event: self.lines.append(event["kms_fields"])),
        )

    def _in_thread(self, verify: object, *given: Any) -> Deferred[Any]:
        password, hashed = given
        self.work.append((Deferred(), password if hashed == "the hash of secret" else "of nobody"))
        return self.work[-1][0]

    def request(self, password: str, client: str = "192.0.2.7", user: str = "ann") -> Any:
        request = DummyRequest([b""])
        request.client = (IPv6Address if ":" in client else IPv4Address)("TCP", client, 50000)
        header = b"Basic " + base64.b64encode(f"{user}:{password}".encode())
        request.requestHeaders.setRawHeaders(b"authorization", [header])
        return request

    async def knock(self, password: str, client: str = "192.0.2.7", user: str = "ann") -> str:
        """A login's outcome: slowed, in or out."""
        request = self.request(password, client, user)
        if self.checker.slowed(request):
            return "slowed"
        login = LoginFactory(b"kmstwist").decode(request.getHeader(b"authorization").split(b" ")[1], request)
        waiting = self.checker.requestAvatarId(login)
        if self.work:
            done, given = self.work.pop(0)
            done.callback(given == "secret")
        try:
            return "in" if await waiting == b"ann" else "?"
        except UnauthorizedLogin:
            return "out"


@ensureDeferred
async def test_a_wrong_login_is_logged_and_after_some_the_address_is_refused_without_work() -> None:
    door = Door()
    outcomes = [await door.knock(f"guess {number}") for number in range(50)]
    assert outcomes == ["out"] * 10 + ["slowed"] * 40
    assert door.lines[0] == {"client": "192.0.2.7", "user": "ann", "why": "wrong"}
    assert "slowed" in door.lines[-1]["why"]
    assert not any("guess" in str(line) for line in door.lines)
    # A minute later it may try a few times more.
    door.clock.advance(30)
    assert [await door.knock("again") for _ in range(5)] == ["out"] * 3 + ["slowed"] * 2


@ensureDeferred
async def test_a_right_password_works_from_elsewhere_and_again_without_work() -> None:
    door = Door()
    assert await door.knock("secret") == "in"
    for number in range(20):
        await door.knock(f"guess {number}")
    assert await door.knock("guess") == "slowed"
    # From a slowed address too, as long as it is remembered: a scrape must not fail because of a neighbour.
    assert await door.knock("secret") == "in"
    assert door.work == []
    assert await door.knock("secret", "192.0.2.8") == "in"
    door.clock.advance(301)
    assert await door.knock("secret", "192.0.2.9") == "in"


@ensureDeferred
async def test_all_addresses_of_an_ipv6_network_are_one_guesser() -> None:
    door = Door()
    outcomes = [await door.knock("guess", f"2001:db8::{number:x}") for number in range(12)]
    assert outcomes == ["out"] * 10 + ["slowed"] * 2
    assert await door.knock("guess", "2001:db8:0:1::1") == "out"


def test_only_one_password_is_checked_at_a_time() -> None:
    door = Door()
    for number in range(5):
        request = door.request("secret", f"192.0.2.{number}")
        login = LoginFactory(b"kmstwist").decode(request.getHeader(b"authorization").split(b" ")[1], request)
        door.checker.requestAvatarId(login).addErrback(lambda failure: failure.trap(UnauthorizedLogin))
    assert len(door.work) == 1
    door.work[0][0].callback(True)
    assert len(door.work) == 2


def test_addresses_take_turns_so_that_nobody_waits_for_another_s_guesses() -> None:
    door = Door()
    for password, client in (("a", "192.0.2.7"), ("b", "192.0.2.7"), ("c", "192.0.2.7"), ("d", "192.0.2.8")):
        request = door.request(password, client)
        login = LoginFactory(b"kmstwist").decode(request.getHeader(b"authorization").split(b" ")[1], request)
        door.checker.requestAvatarId(login).addErrback(lambda failure: failure.trap(UnauthorizedLogin))
    looked_at = []
    while door.work:
        [(done, given)] = door.work
        door.work.clear()
        looked_at.append(given)
        done.callback(False)
    assert looked_at == ["a", "b", "d", "c"]


def test_the_page_for_a_missing_password_says_how_to_set_one() -> None:
    site = make_site(lambda: Snapshot("gateway", 0.0, Counters()), Clock().seconds, {}, reactor=Clock())
    address = IPv4Address("TCP", "127.0.0.1", 40_000)
    protocol, transport = site.buildProtocol(address), StringTransport(peerAddress=address)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET /machines HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = transport.value().decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 401 ")
    assert "kmstwist web password NAME" in body
    assert f"Content-Length: {len(body)}" in head
