"""The options of `twistd kms`."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

from kmstwist.server.log import FORMATTERS, LEVELS, direct_log
from kmstwist.transport.address import AddressError, HostPort, parse_host_port

#: What intervals a KMS host may be given, in minutes (slmgr /sai and /sri).
_SHORTEST_INTERVAL = 15
_LONGEST_INTERVAL = 30 * 24 * 60


class Options(usage.Options):
    """What the command line says; every value is checked here, and a mistake is one sentence and exit status 1."""

    synopsis = "[twistd options] kms [options]"
    longdesc = (
        "With --upstream a gateway before the site's own licensed KMS hosts; without, a lab to rehearse volume "
        "activation with simulated clients. The lab grants no licences."
    )
    optParameters = [
        ["port", "p", 1688, "TCP port to listen on, for IPv4 and IPv6.", int],
        ["state-dir", None, None, "Folder for what must outlive the process: the lab's key, its memory, the audit."],
        ["log-format", None, "text", "How log lines look: text (key=value) or json."],
        ["log-level", None, "info", "The least level that is logged: debug, info, warn or error."],
        ["idle-timeout", None, 30.0, "Seconds a client may be silent before its connection is closed.", float],
        ["max-connections", None, 20000, "Connections open at the same time; more are closed at once.", int],
        ["upstream-timeout", None, 5.0, "Seconds an upstream may take for an answer.", float],
        ["activation-interval", None, 120, "Lab: minutes between the attempts of a client not activated yet.", int],
        ["renewal-interval", None, 10080, "Lab: minutes between the renewals of an activated client.", int],
    ]
    compData = usage.Completions(optActions={"state-dir": usage.CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.upstreams: list[HostPort] = []

    def opt_listen(self, endpoint: str) -> None:
        """Listen on this Twisted endpoint instead of --port, for example tcp:1688:interface=10.0.0.1,
        tcp6:port=1688:interface=\\:\\: or systemd:domain=INET6:index=0. May be repeated."""
        self.listen.append(endpoint)

    def opt_upstream(self, address: str) -> None:
        """A licensed KMS host to stand before, as HOST or HOST:PORT. May be repeated; the first that answers is
        asked."""
        try:
            self.upstreams.append(parse_host_port(address))
        except AddressError as error:
            raise usage.UsageError(f"--upstream: {error}") from None

    def opt_version(self) -> None:
        """Show kmstwist's version and exit."""
        from kmstwist import __version__

        sys.stdout.write(f"kmstwist {__version__}\n")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and end the process with one sentence and status 1 if something is wrong.

        twistd would print all of its help first, and exit with 0.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            sys.exit(f"twistd kms: {_sentence(str(error))} (twistd kms --help lists the options)")

    def postOptions(self) -> None:
        """Check what no single option's type can."""
        self._one_of("log-format", FORMATTERS)
        self._one_of("log-level", LEVELS)
        self._between("port", 0, 65535)
        self._between("idle-timeout", 0.1, 86400)
        self._between("upstream-timeout", 0.1, 300)
        self._between("max-connections", 1, 10_000_000)
        self._between("activation-interval", _SHORTEST_INTERVAL, _LONGEST_INTERVAL)
        self._between("renewal-interval", _SHORTEST_INTERVAL, _LONGEST_INTERVAL)
        # Here and not in makeService: twistd makes its logger between the two.
        direct_log(self.twistd, self["log-format"], self["log-level"])

    @property
    def twistd(self) -> MutableMapping[str, Any]:
        """twistd's own options, of which these are a part."""
        return {} if self.parent is None else self.parent

    @property
    def state_dir(self) -> Path | None:
        """The state folder that was named, or None."""
        return Path(self["state-dir"]) if self["state-dir"] else None

    def _one_of(self, name: str, allowed: Any) -> None:
        if self[name] not in allowed:
            raise usage.UsageError(f"--{name}={self[name]}: it is one of {', '.join(allowed)}")

    def _between(self, name: str, low: float, high: float) -> None:
        if not low <= self[name] <= high:
            raise usage.UsageError(f"--{name}={self[name]}: it is a number from {low:g} to {high:g}")


def _sentence(text: str) -> str:
    """Usage's own errors name an option without its dashes; ours name it as it is typed."""
    if text.startswith("option "):
        return "unknown or incomplete " + text
    return text
