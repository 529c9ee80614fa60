"""The listener for KMS hosts' events as a part of the server, as `[events]` has it."""

from __future__ import annotations

import sys
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner

from kmstwist.audit.events.hostnames import addresses_of
from kmstwist.audit.events.reading.zone import SystemZone
from kmstwist.clock import now, run_on_monotonic_time
from kmstwist.collecting.keeper import Store
from kmstwist.collecting.service import CONNECTIONS, Collector
from kmstwist.collecting.settings import TLS, EventsSettings
from kmstwist.logevents import EVENTS_CERTIFICATE, EVENTS_CERTIFICATE_UNUSABLE
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError
from kmstwist.system.extras import install_command
from kmstwist.system.threads import mend_threads
from kmstwist.telemetry.lines import FORMATTERS, LineObserver
from kmstwist.telemetry.settings import LogSettings

if TYPE_CHECKING:
    from twisted.internet.ssl import Certificate, CertificateOptions


def make_collector(
    settings: EventsSettings,
    store: str | None,
    reactor: Reactor,
    *,
    drain: float = 10.0,
    zone: tzinfo | None = None,
    dns: bool = True,
    connections: int = CONNECTIONS,
) -> Collector | None:
    """The listener; None if no address is configured. `store` is the audit's, None if the audit is off;
    `connections` is how many senders may have at one time.

    `zone` is that of times that name none, by default the configured one. Raises `StartupError`.
    """
    if not settings.listen:
        return None
    if store is None:
        raise StartupError("[events] listen needs the audit, which is off", "set enabled = true in [audit]")
    if zone is None:
        zone = ZoneInfo(settings.timezone) if settings.timezone else SystemZone()
    tls = _tls(settings) if _uses_tls(settings) else None
    kept = Store(store, zone, addresses_of if dns else lambda _: (), now)
    return Collector(settings.places, settings.senders, kept, reactor, tls=tls, drain=drain, connections=connections)


def collect(reactor: Reactor, settings: EventsSettings, store: str, zone: tzinfo, dns: bool) -> Deferred[None]:
    """Listen until the reactor ends, with lines on standard error; what was received is stored then.

    For `twisted.internet.task.react`. Raises `StartupError`.
    """
    settings_of_log = LogSettings()

    def write(line: str, _level: object) -> None:
        sys.stderr.write(f"{line}\n")

    observer = LineObserver(FORMATTERS[settings_of_log.format], settings_of_log.level, write)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    collector = make_collector(settings, store, reactor, zone=zone, dns=dns)
    assert collector is not None
    run_on_monotonic_time(reactor)
    mend_threads(reactor)
    collector.startService()
    reactor.addSystemEventTrigger("before", "shutdown", collector.stopService)
    return Deferred()


def read_certificates_again(collector: Collector, settings: EventsSettings) -> None:
    """Take certificates that were renewed. Those that cannot be used are logged, and the former ones stay."""
    if not _uses_tls(settings):
        return
    try:
        tls = _tls(settings)
    except StartupError as error:
        EVENTS_CERTIFICATE_UNUSABLE.emit(collector.log, detail=str(error))
        return
    collector.tls = tls
    EVENTS_CERTIFICATE.emit(collector.log, file=settings.certificate, until=_expires(tls))


def _expires(tls: CertificateOptions) -> str:
    """The day on which a certificate expires."""
    assert tls.certificate is not None
    # As in ASN.1: 20261128193206Z.
    at = tls.certificate.get_notAfter()
    assert at is not None
    return datetime.strptime(at.decode(), "%Y%m%d%H%M%S%z").date().isoformat()


def _uses_tls(settings: EventsSettings) -> bool:
    return any(place.kind == TLS for place in settings.places)


def _tls(settings: EventsSettings) -> CertificateOptions:
    try:
        from twisted.internet import ssl
    except ImportError:
        raise StartupError("[events] tls needs pyOpenSSL", install_command("tls")) from None
    from OpenSSL.crypto import FILETYPE_PEM, Error

    assert settings.certificate is not None
    path = settings.certificate
    try:
        pem = Path(path).read_bytes()
        own, *chain = _certificates(pem)
        key = ssl.KeyPair.load(pem, FILETYPE_PEM)
        trusted = None
        if settings.client_ca is not None:
            path = settings.client_ca
            trusted = ssl.trustRootFromCertificates(_certificates(Path(path).read_bytes()))
        return ssl.CertificateOptions(
            privateKey=key.original,
            certificate=own.original,
            extraCertChain=[each.original for each in chain],
            trustRoot=trusted,
        )
    except OSError as error:
        raise StartupError(
            f"[events] {path}: {error.strerror or error}", "name a file that this user may read"
        ) from None
    except (Error, ValueError):
        wanted = "its certificate and private key" if path == settings.certificate else "certificates of authorities"
        raise StartupError(f"[events] {path} does not hold {wanted}", "name a file in PEM form") from None


def _certificates(pem: bytes) -> list[Certificate]:
    """The certificates in a PEM file. Raises ValueError for a file without one, and OpenSSL's errors."""
    from twisted.internet import ssl

    begin = b"-----BEGIN CERTIFICATE-----"
    found = [ssl.Certificate.loadPEM(begin + each) for each in pem.split(begin)[1:]]
    if not found:
        raise ValueError
    return found
