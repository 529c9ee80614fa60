"""The site's listener in the service tree."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from kmstwist.addresses import HostPort
from kmstwist.clock import now
from kmstwist.logevents import WEB
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError
from kmstwist.web.asking import Store
from kmstwist.web.passwords import PasswordFileError, load_users
from kmstwist.web.settings import WebSettings, web_address
from kmstwist.web.site import CONNECTIONS, make_site
from kmstwist.web.watch import Source


class WebService(Service):
    """The listener of the site."""

    def __init__(
        self,
        settings: WebSettings,
        source: Source,
        reactor: Reactor,
        store: Store | None = None,
        counted: Store | None = None,
        most: int | None = None,
    ) -> None:
        """`most` is how many connections there may be at once, and `counted` is as `make_site` takes it.

        Raises `StartupError` where the file of users cannot be used.
        """
        assert settings.listen is not None
        self._address = web_address(settings.listen)
        try:
            users = None if settings.users is None else load_users(Path(settings.users))
        except PasswordFileError as error:
            raise StartupError.of(error, "[web] users") from None
        try_address(self._address)
        self._guarded = users is not None
        self._site = make_site(source, now, users, store, counted=counted, notice=settings.notice, reactor=reactor)
        self._site.most = CONNECTIONS if most is None else most
        self._reactor = reactor
        self._log = Logger(namespace="kmstwist.web")
        self.port: Any = None

    def privilegedStartService(self) -> None:
        """Open the port. Raises `StartupError`."""
        super().privilegedStartService()
        address = self._address
        try:
            # The interface asks for factories of one kind of protocol; Twisted's own sites have several.
            site: Any = self._site
            self.port = self._reactor.listenTCP(address.port, site, interface=address.host)
        except CannotListenError as error:
            raise _not_had(address, error.socketError) from None

    def startService(self) -> None:
        """Say where it is."""
        super().startService()
        self._site.begin()
        if self.port is not None:
            host: Any = self.port.getHost()
            name = f"[{host.host}]" if ":" in host.host else host.host
            WEB.emit(self._log, url=f"http://{name}:{host.port}/", users="yes" if self._guarded else "no")

    def pause(self) -> None:
        """Accept nothing; new clients wait in the kernel's queue."""
        if self.port is not None:
            self.port.stopReading()

    def resume(self) -> None:
        """Accept again."""
        if self.port is not None:
            self.port.startReading()

    def stopService(self) -> Deferred[None] | None:
        """Close the port."""
        super().stopService()
        self._site.end()
        if self.port is None:
            return None
        port, self.port = self.port, None
        stopped: Deferred[None] | None = port.stopListening()
        return stopped


def try_address(address: HostPort) -> None:
    """Raise `StartupError` where the address cannot be opened, before the process goes into the background."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address.host, address.port))
            trial.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) and os.getuid() == 0:
                # A low port, tried as the user that we become; it is opened before that.
                return
            raise _not_had(address, error) from None


def _not_had(address: HostPort, error: OSError) -> StartupError:
    return StartupError(
        f"port {address.port} of {address.host} cannot be opened ({error.strerror})",
        "choose another with --web, or end what has it (ss -ltnp shows it)",
        "[web] listen",
    )
