"""The listener under a real reactor, with sockets, TLS and rsyslog as senders."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, func, select
from twisted.internet.address import IPv4Address
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.clock import now
from kmstwist.collecting.framing import MOST
from kmstwist.collecting.keeper import Store
from kmstwist.collecting.receiving import SILENT, Stream, Streams
from kmstwist.collecting.service import Collector
from kmstwist.collecting.settings import EventsSettings
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.reading import load
from kmstwist.server.collecting import make_collector
from kmstwist.startup import StartupError
from tests.audit.exports import as_xml, request
from tests.audit.making import new_store
from tests.collecting.test_message import HOST, MESSAGES, NXLOG
from tests.logs import logger
from tests.ports import free_port
from tests.reactors import reactor

AT = datetime(2026, 10, 5, 8, 14, 22, tzinfo=UTC)
HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored soon after it came."""
    monkeypatch.setattr("kmstwist.collecting.service.EVERY", 0.05)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def events_in(store: Engine) -> int:
    with reading(store) as connection:
        return connection.scalar(select(func.count()).select_from(schema.events)) or 0


def collector(store: Engine, *places: str, senders: tuple[str, ...] = (HERE,), **options: Any) -> Collector:
    settings = EventsSettings(listen=places, senders=senders, timezone="UTC", **options)
    made = make_collector(settings, str(store.url.database), reactor, dns=False)
    assert made is not None
    made.startService()
    return made


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await deferLater(reactor, 0.02, lambda: None)


def line(number: int) -> bytes:
    values = request(number, AT + timedelta(minutes=number), f"pc{number}").data
    when = AT + timedelta(minutes=number)
    event = NXLOG | {"RecordNumber": number, "EventTime": f"{when:%Y-%m-%d %H:%M:%S}"}
    return json.dumps(event | {"Message": f"Info: {','.join(values)}"}).encode() + b"\n"


def send(port: int, data: bytes, context: ssl.SSLContext | None = None) -> None:
    with socket.create_connection((HERE, port), timeout=30) as plain:
        if context is None:
            plain.sendall(data)
            return
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(data)


@pytest_twisted.ensureDeferred
async def test_lines_over_tcp_are_stored_and_counted_and_so_are_datagrams(store: Engine) -> None:
    tcp, udp = free_port(), free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}", f"udp:{HERE}:{udp}")
    try:
        await deferToThread(send, tcp, line(1) + line(2) + b"<14>1 - - - - - - hello\n" + line(2))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(MESSAGES["RFC 5424 with structured data"].encode(), (HERE, udp))
        await until(lambda: listening.counts.new == 3)
        await until(lambda: not listening.waiting.queue)
        assert events_in(store) == 3
        counts = listening.counts
        assert (counts.received, counts.known, counts.other, counts.broken) == (5, 1, 1, 0)
    finally:
        await listening.stopService()


def test_the_memory_of_refused_senders_is_bounded(store: Engine) -> None:
    made = make_collector(EventsSettings(listen=(f"udp:{HERE}:1",), senders=(HERE,)), "unused", reactor, dns=False)
    assert made is not None
    made.log = logger(lambda event: None)
    for number in range(5000):
        assert not made.may_send(f"10.0.{number // 250}.{number % 250}")
    assert made.counts.refused == 5000
    assert len(made._said) <= 1001


@pytest_twisted.ensureDeferred
async def test_a_sender_that_is_not_configured_is_refused(store: Engine) -> None:
    tcp, udp = free_port(), free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}", f"udp:{HERE}:{udp}", senders=("10.0.0.0/8",))
    try:

        def refused() -> bytes:
            with socket.create_connection((HERE, tcp), timeout=30) as connection:
                try:
                    return connection.recv(1)
                except ConnectionResetError:
                    return b""

        assert await deferToThread(refused) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(line(1), (HERE, udp))
        await until(lambda: listening.counts.refused == 2)
        assert listening.counts.received == 0
    finally:
        await listening.stopService()


@pytest_twisted.ensureDeferred
async def test_at_the_end_all_that_was_received_is_stored_even_an_unfinished_line(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmstwist.collecting.service.EVERY", 3600)
    tcp = free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}")
    with socket.create_connection((HERE, tcp), timeout=30) as connection:
        connection.sendall(line(1) + line(2).strip())
        await until(lambda: listening.counts.received == 1)
        await listening.stopService()
    assert events_in(store) == 2


@pytest_twisted.ensureDeferred
async def test_while_the_store_fails_senders_are_not_read_and_nothing_is_lost(store: Engine) -> None:
    tcp, udp = free_port(), free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}", f"udp:{HERE}:{udp}")
    broken = Store("/nowhere/at/all/audit.sqlite", UTC, lambda _: (), now)
    working, listening._store = listening._store, broken
    listening.waiting.messages = 10
    number = 2000
    try:
        with socket.create_connection((HERE, tcp), timeout=60) as connection:
            sent = deferToThread(connection.sendall, b"".join(map(line, range(number))))
            await until(lambda: bool(listening.problem) and listening.waiting.full)
            held = len(listening.waiting.queue)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(line(1), (HERE, udp))
            await until(lambda: listening.counts.dropped == 1)
            assert len(listening.waiting.queue) == held < number
            listening._store = working
            await until(lambda: listening.counts.new == number)
            await sent
        assert events_in(store) == number
    finally:
        await listening.stopService()


def test_messages_that_cannot_be_accepted_are_reported_with_their_sender(store: Engine) -> None:
    listening = collector(store, f"tcp:{HERE}:{free_port()}")
    listening.most = 1
    said: list[tuple[str, str]] = []
    listening.log = logger(lambda event: said.append((event["kms_event"], event["kms_fields"]["reason"])))
    factory, sender = Streams(listening), IPv4Address("TCP", HERE, 40_000)
    stream = factory.buildProtocol(sender)
    assert stream is not None
    stream.makeConnection(StringTransport())
    assert [factory.buildProtocol(sender) for _ in range(2)] == [None, None]
    for _ in range(2):
        stream.dataReceived(b"x" * (MOST + 10) + b"\n" + line(1))
    assert said == [("events-dropped", "connections"), ("events-dropped", "too-long")]
    assert listening.counts.dropped == 2
    assert len(listening.waiting.queue) == 2


def test_a_sender_with_many_connections_keeps_no_other_out(store: Engine) -> None:
    listening = collector(store, f"tcp:{HERE}:{free_port()}", senders=("127.0.0.0/8",))
    listening.most = 4
    factory = Streams(listening)

    def connect(address: str) -> Stream | None:
        stream = factory.buildProtocol(IPv4Address("TCP", address, 40_000))
        if stream is not None:
            stream.makeConnection(StringTransport())
        return stream

    many = [connect(HERE) for _ in range(5)]
    assert many[4] is None
    # The one that has been silent for longest goes.
    many[0].dataReceived(line(1))  # type: ignore[union-attr]
    others = [connect("127.0.0.2"), connect("127.0.0.2")]
    assert None not in others
    assert listening.connections == {many[0], many[3], *others}
    assert [stream.transport.disconnecting for stream in many[:4]] == [False, True, True, False]  # type: ignore[union-attr]
    # Taking one from a sender with the same number would gain nothing.
    assert connect("127.0.0.2") is None
    # A sender that has forgotten one of its own gets another.
    others[0].heard_at -= SILENT  # type: ignore[union-attr]
    latest = connect("127.0.0.2")
    assert listening.connections == {many[0], many[3], others[1], latest}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "sender", "stranger"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost", "-keyout", f"{name}.key", "-out", f"{name}.crt"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        both = (folder / f"{name}.key").read_bytes() + (folder / f"{name}.crt").read_bytes()
        (folder / f"{name}.pem").write_bytes(both)
    return folder


@pytest_twisted.ensureDeferred
async def test_senders_over_tls_must_have_a_certificate_where_that_is_configured(
    store: Engine, certificates: Path
) -> None:
    tls = free_port()
    options: dict[str, Any] = {
        "certificate": str(certificates / "server.pem"),
        "client_ca": str(certificates / "sender.crt"),
    }
    listening = collector(store, f"tls:{HERE}:{tls}", **options)
    try:
        for name, number in (("stranger", 1), ("sender", 2)):
            context = ssl.create_default_context(cafile=str(certificates / "server.crt"))
            context.load_cert_chain(str(certificates / f"{name}.pem"))
            # TLS 1.3 tells a refused client at its next read only.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            if name == "stranger":
                with pytest.raises(ssl.SSLError):
                    await deferToThread(send, tls, line(number), context)
            else:
                await deferToThread(send, tls, line(number), context)
        await until(lambda: listening.counts.new == 1)
        assert listening.counts.received == 1
    finally:
        await listening.stopService()


def test_an_invalid_certificate_is_reported_at_the_start(store: Engine, tmp_path: Path, certificates: Path) -> None:
    path = tmp_path / "x.pem"
    for content, said in ((None, "No such file"), (b"", "does not hold"), (b"-----BEGIN CERTIFICATE-----", "does not")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StartupError, match=said):
            collector(store, "tls:127.0.0.1:6514", certificate=str(path))
    with pytest.raises(StartupError, match="needs the audit"):
        make_collector(EventsSettings(listen=("udp:127.0.0.1:5514",), senders=(ip_network(HERE),)), None, reactor)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('listen = ["tcp:10.0.0.5:5514"]', "senders must name who may send"),
        ('listen = ["tls:10.0.0.5"]\nsenders = ["10.0.0.1"]', "tls needs a certificate"),
        ('listen = ["http:10.0.0.5:1"]', "must be tcp, udp or tls"),
        ('listen = ["tcp:kms1:5514"]', "must be tcp, udp or tls"),
        ('timezone = "Mars/Olympus"', "not a time zone"),
    ],
)
def test_mistakes_in_the_configuration_are_reported_with_their_cure(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "kmstwist.toml"
    path.write_text(f"[events]\n{text}\n")
    with pytest.raises(ConfigError, match=said):
        load(path)


@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
@pytest.mark.parametrize("template", ["RSYSLOG_SyslogProtocol23Format", "RSYSLOG_TraditionalForwardFormat"])
@pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="needs rsyslogd")
@pytest_twisted.ensureDeferred
async def test_rsyslog_sends_what_it_reads_from_a_file(
    store: Engine, tmp_path: Path, framing: str, template: str
) -> None:
    tcp = free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}")
    source = tmp_path / "events.json"
    source.write_bytes(b"".join(map(line, range(20))))
    (tmp_path / "rsyslog.conf").write_text(
        f'global(workDirectory="{tmp_path}" maxMessageSize="64k")\nmodule(load="imfile")\n'
        f'input(type="imfile" file="{source}" tag="nxlog")\n'
        f'action(type="omfwd" target="{HERE}" port="{tcp}" protocol="tcp" tcp_framing="{framing}" '
        f'template="{template}")\n'
    )
    sender = subprocess.Popen(
        ["rsyslogd", "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await until(lambda: listening.counts.new == 20)
    finally:
        sender.terminate()
        await deferToThread(sender.wait)
        await listening.stopService()
    with reading(store) as connection:
        assert set(connection.scalars(select(schema.events.c.computer))) == {HOST}


@pytest_twisted.ensureDeferred
async def test_an_event_that_came_by_itself_is_known_when_it_is_imported(store: Engine, tmp_path: Path) -> None:
    from kmstwist.audit.events.importer import Importer
    from kmstwist.audit.privacy import Privacy, PrivacyPolicy

    tcp = free_port()
    listening = collector(store, f"tcp:{HERE}:{tcp}")
    await deferToThread(send, tcp, line(1))
    await until(lambda: listening.counts.new == 1)
    await listening.stopService()
    path = tmp_path / "kms.xml"
    path.write_bytes(as_xml([request(1, AT + timedelta(minutes=1), "pc1")]))
    result = Importer(store, Privacy(PrivacyPolicy(), b""), lambda _: ()).import_file(path)
    assert (result.imported, result.known) == (0, 1)
