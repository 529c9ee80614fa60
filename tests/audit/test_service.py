"""The audit under a real reactor: a small server that replies when, and only when, its record is committed."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, event, func, select
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from kmstwist.audit import schema
from kmstwist.audit.asking.facts import stored_privacy
from kmstwist.audit.engine import open_engine, reading, writing
from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable, StoreError
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.privacy import Keep, PrivacyPolicy
from kmstwist.audit.service import AuditService
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from tests.audit.making import DAY, START, opaque, recorded
from tests.reactors import reactor

MESSAGE = (6 << 16).to_bytes(4, "little") + bytes(256)


class Server(LineReceiver):
    """Answers each line with "granted" once its call is recorded, with "refused" if it cannot be."""

    def lineReceived(self, line: bytes) -> None:
        assert isinstance(self.factory, Recording)
        audit = self.factory.audit
        call = ActivationCall(MESSAGE, "10.0.0.7", 50000)
        call.answered(ActivationAnswer(0, line, upstream="kms1"), 0.0)
        recorded(audit, audit.maker.make(call)).addCallbacks(self.grant, self.refuse)

    def grant(self, _: None) -> None:
        self.sendLine(b"granted")

    def refuse(self, failure: Any) -> None:
        failure.trap(AuditUnavailable)
        self.sendLine(b"refused")


class Recording(Factory):
    """Makes servers that record into `audit`."""

    protocol = Server
    audit: AuditService


class Client(LineReceiver):
    def __init__(self) -> None:
        self.reply: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.sendLine(b"activate")

    def lineReceived(self, line: bytes) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]
        self.reply.callback(line)


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(schema.records)) or 0


def ask(port: int) -> Deferred[bytes]:
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)

    client = Client()
    connected: Deferred[Client] = connectProtocol(endpoint, client)
    return connected.addCallback(lambda _: client.reply)


@pytest_twisted.inlineCallbacks
def test_a_client_that_has_its_reply_is_in_the_store(tmp_path: Path) -> Generator[Any, Any, None]:
    audit = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite")), reactor)
    audit.startService()
    factory = Recording()
    factory.audit = audit
    listening = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    other = open_engine(str(tmp_path / "a.sqlite"))
    try:
        port = listening.getHost().port
        assert (yield ask(port)) == b"granted"
        assert count(other) == 1
        replies = yield gatherResults([ask(port) for _ in range(50)])
        assert replies == [b"granted"] * 50
        assert count(other) == 51
        assert audit.writer.committed == 51
    finally:
        yield listening.stopListening()
        yield audit.stopService()
        other.dispose()


@pytest_twisted.inlineCallbacks
def test_a_locked_store_refuses_under_refuse_and_serves_under_serve(tmp_path: Path) -> Generator[Any, Any, None]:
    path = str(tmp_path / "a.sqlite")
    other = open_engine(path)
    for policy, reply in ((OnFailure.REFUSE, b"refused"), (OnFailure.SERVE, b"granted")):
        audit = AuditService(AuditSettings(store=path, on_failure=policy, busy_timeout=0.01), reactor)
        audit.startService()
        factory = Recording()
        factory.audit = audit
        listening = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        with writing(other):
            assert (yield ask(listening.getHost().port)) == reply
        yield listening.stopListening()
        yield audit.stopService()
    # Only the call that was served is in the store, written at the stop if not before.
    assert count(other) == 1
    other.dispose()


@pytest_twisted.inlineCallbacks
def test_a_full_disk_makes_nobody_wait_and_loses_nothing(tmp_path: Path) -> Generator[Any, Any, None]:
    audit = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite")), reactor)
    audit.startService()
    full = True

    # SQLite's own way of running out of space: the next page is one too many.
    def fill(connection: Any, *_: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages if full else 1 << 30}")

    event.listen(audit.engine, "checkout", fill)
    yield gatherResults([recorded(audit, opaque(START, detail="x" * 1000)) for _ in range(100)])
    assert audit.writer.failing
    assert audit.writer.waiting == 100
    full = False
    yield audit.stopService()
    other = open_engine(str(tmp_path / "a.sqlite"))
    assert count(other) == 100
    assert audit.writer.dropped == 0
    other.dispose()


@pytest_twisted.inlineCallbacks
def test_stopping_commits_what_was_handed_over(tmp_path: Path) -> Generator[Any, Any, None]:
    audit = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite"), gather=60.0), reactor)
    audit.startService()
    waiting = [recorded(audit, opaque(START)) for _ in range(100)]
    yield audit.stopService()
    yield gatherResults(waiting)
    other = open_engine(str(tmp_path / "a.sqlite"))
    assert count(other) == 100
    other.dispose()


@pytest_twisted.inlineCallbacks
def test_data_that_privacy_forbids_never_reaches_the_disk(tmp_path: Path) -> Generator[Any, Any, None]:
    settings = AuditSettings(store=str(tmp_path / "a.sqlite"), privacy=PrivacyPolicy(client=Keep.HASH))
    audit = AuditService(settings, reactor)
    audit.startService()
    yield recorded(audit, opaque(START, "203.0.113.77"))
    # The tools find the policy and its salt by the store.
    assert stored_privacy(audit.engine).client("203.0.113.77").startswith("h:")
    yield audit.stopService()
    for path in tmp_path.iterdir():
        assert b"203.0.113.77" not in path.read_bytes()
    assert (tmp_path / "audit.salt").stat().st_mode & 0o777 == 0o600


@pytest_twisted.inlineCallbacks
def test_retention_begins_at_the_start_and_works_beside_the_writer(tmp_path: Path) -> Generator[Any, Any, None]:
    now = int(reactor.seconds() * 1000)
    first = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite")), reactor)
    first.startService()
    yield gatherResults([recorded(first, opaque(now - 31 * DAY, f"10.0.0.{number}")) for number in range(50)])
    yield first.stopService()
    audit = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite"), limits=Limits(days=30)), reactor)
    audit.startService()
    new = 0
    while new == 0 or count(audit.engine) > new:
        yield recorded(audit, opaque(now))
        new += 1
    yield audit.stopService()


def test_a_store_that_cannot_be_opened_says_so_at_start(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").mkdir()
    audit = AuditService(AuditSettings(store=str(tmp_path / "a.sqlite")), reactor)
    with pytest.raises(StoreError, match="cannot be opened"):
        audit.startService()


def test_a_salt_that_others_may_read_keeps_the_audit_from_starting(tmp_path: Path) -> None:
    (tmp_path / "audit.salt").write_bytes(bytes(32))
    (tmp_path / "audit.salt").chmod(0o644)
    settings = AuditSettings(store=str(tmp_path / "a.sqlite"), privacy=PrivacyPolicy(client=Keep.HASH))
    with pytest.raises(StoreError, match="salt; chmod 600"):
        AuditService(settings, reactor).startService()


def test_the_local_store_cannot_be_in_postgresql() -> None:
    audit = AuditService(AuditSettings(store="postgresql://db/audit"), reactor)
    with pytest.raises(StoreError, match="must be an SQLite file"):
        audit.startService()
