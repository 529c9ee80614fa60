"""The site's listener in the service tree.

The site itself is made when somebody asks it, or a moment after the start: all that it is made of takes 0.15 s to load,
in which KMS clients would be kept waiting.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from kmstwist.addresses import HostPort
from kmstwist.clock import now
from kmstwist.logevents import WEB
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError, put_aside
from kmstwist.system.binding import bindable
from kmstwist.web.settings import WebSettings, web_address

if TYPE_CHECKING:
    from kmstwist.web.asker import Store
    from kmstwist.web.site import StatusSite
    from kmstwist.web.watch import Source

#: Seconds after the start at which the site begins to be loaded. Mostly the audit's thread has loaded its part by then.
_SOON = 0.6
#: Seconds until it is tried again where no file could be opened.
_LATER = 2.0
#: What is loaded one after the other, so that clients are answered in between.
_PARTS = (
    "twisted.web.server",
    "kmstwist.web.metrics.served",
    "kmstwist.web.asker",
    "kmstwist.web.passwords",
    "kmstwist.audit.reports.all",
    "kmstwist.web.views.all",
    "kmstwist.audit.reports.render",
    "kmstwist.web.rendering",
    "kmstwist.web.site",
)


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
        self._users = None if settings.users is None else _users(Path(settings.users))
        try_address(self._address)
        self._notice = settings.notice
        self._source, self._store, self._counted = source, store, counted
        self._most = most
        self._site: StatusSite | None = None
        self._parts = deque(_PARTS)
        self._loading: IDelayedCall | None = None
        self._reactor = reactor
        self._log = Logger(namespace="kmstwist.web")
        self.port: Any = None

    def privilegedStartService(self) -> None:
        """Open the port. Raises `StartupError`."""
        super().privilegedStartService()
        address = self._address
        try:
            self.port = self._reactor.listenTCP(address.port, _Door(self), interface=address.host)
        except CannotListenError as error:
            raise _not_had(address, error.socketError) from None

    def startService(self) -> None:
        """Say where it is."""
        super().startService()
        self._loading = self._reactor.callLater(_SOON, self._load)
        if self.port is not None:
            host: Any = self.port.getHost()
            name = f"[{host.host}]" if ":" in host.host else host.host
            WEB.emit(self._log, url=f"http://{name}:{host.port}/", users="no" if self._users is None else "yes")

    def _load(self) -> None:
        """Load what the site is made of, a part at a time, and then make it."""
        self._loading = None
        if self._site is not None:
            return
        try:
            if self._parts:
                import_module(self._parts[0])
                self._parts.popleft()
            else:
                self.site()
                put_aside()
                return
        except OSError:
            # Out of descriptors, of which the log tells already.
            self._loading = self._reactor.callLater(_LATER, self._load)
        else:
            self._loading = self._reactor.callLater(0, self._load)

    def site(self) -> StatusSite:
        """The site; it is made when it is asked for first, and looks at the server every few seconds from then on."""
        if self._site is None:
            from kmstwist.web.site import CONNECTIONS, make_site

            self._site = site = make_site(
                self._source,
                now,
                self._users,
                self._store,
                counted=self._counted,
                notice=self._notice,
                reactor=self._reactor,
            )
            site.most = CONNECTIONS if self._most is None else self._most
            site.doStart()
            site.begin()
        return self._site

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
        if self._loading is not None:
            self._loading.cancel()
            self._loading = None
        if self._site is not None:
            self._site.end()
            self._site.doStop()
        if self.port is None:
            return None
        port, self.port = self.port, None
        stopped: Deferred[None] | None = port.stopListening()
        return stopped


class _Door(ServerFactory):
    """What is behind the port: the site, which may not be there yet."""

    noisy = False

    def __init__(self, service: WebService) -> None:
        self._service = service

    def buildProtocol(self, addr: Any) -> Any:
        """Have the site take a connection."""
        return self._service.site().buildProtocol(addr) if self._service.running else None


def _users(file: Path) -> dict[str, str]:
    """The names in the file of users, with their hashes. Raises `StartupError`."""
    from kmstwist.web.passwords import PasswordFileError, load_users

    try:
        return load_users(file)
    except PasswordFileError as error:
        raise StartupError.of(error, "[web] users") from None


def try_address(address: HostPort) -> None:
    """Raise `StartupError` where the address cannot be opened, before the process goes into the background."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(bindable(address.host, address.port))
            trial.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) and os.getuid() == 0:
                # A low port, tried as the user that we become; it is opened before that.
                return
            raise _not_had(address, error) from None


def _not_had(address: HostPort, error: OSError) -> StartupError:
    return StartupError(
        f"port {address.port} of {address.host} cannot be opened ({error.strerror})",
        "choose another with --web, or stop the program that uses it (ss -ltnp shows it)",
        "[web] listen",
    )
