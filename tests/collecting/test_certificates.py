"""Certificates that are renewed while the listener for events runs."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest_twisted
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from kmstwist.collecting.settings import EventsSettings
from kmstwist.logevents import EVENTS_CERTIFICATE, EVENTS_CERTIFICATE_UNUSABLE
from kmstwist.networks import network_of
from kmstwist.server.collecting import make_collector, read_certificates_again
from tests.audit.making import new_store
from tests.ports import free_port
from tests.reactors import reactor
from tests.waiting import PATIENCE

HERE = "127.0.0.1"


def make_certificate(path: Path, name: str) -> None:
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    subprocess.run([*command, "-keyout", f"{path}.key", "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())


def shown(port: int) -> str:
    """The certificate that a new connection is shown, in PEM form."""
    return ssl.get_server_certificate((HERE, port), timeout=PATIENCE)


@pytest_twisted.ensureDeferred
async def test_a_reload_takes_a_renewed_certificate_but_not_an_invalid_one(tmp_path: Path) -> None:
    path, port = tmp_path / "events.pem", free_port()
    make_certificate(path, "first")
    settings = EventsSettings(listen=(f"tls:{HERE}:{port}",), senders=(network_of(HERE),), certificate=str(path))
    listening = make_collector(settings, str(new_store(tmp_path).url.database), reactor, dns=False)
    assert listening is not None
    listening.startService()
    try:
        first = await deferToThread(shown, port)
        make_certificate(path, "second")
        with capturedLogs() as events:
            read_certificates_again(listening, settings)
        assert [event["kms_event"] for event in events] == [EVENTS_CERTIFICATE.name]
        second = await deferToThread(shown, port)
        assert second != first
        assert second.strip() == Path(f"{path}.crt").read_text().strip()
        path.write_text("nothing of the kind")
        with capturedLogs() as events:
            read_certificates_again(listening, settings)
        assert [event["kms_event"] for event in events] == [EVENTS_CERTIFICATE_UNUSABLE.name]
        assert await deferToThread(shown, port) == second
    finally:
        await listening.stopService()
