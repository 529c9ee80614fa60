"""The targets: Apprise's services for their URLs, and sending to them. Sending blocks; it is done in a thread.

A URL's host, path and parameters may each be a secret, even where Apprise does not treat them as one. So a target is
named by its number and kind, and a service's error is shown without any part of the URL that could be secret.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from kmstwist.notify.messages import Text
from kmstwist.notify.settings import scheme_of
from kmstwist.problem import ProblemError
from kmstwist.shown import HIDDEN, visible
from kmstwist.system.extras import install_command

#: How many seconds connecting to a service, and its answer, may take.
CONNECT_S, ANSWER_S = 10.0, 20.0
#: Parts of a URL this short are not secrets, and occur in many words.
_SHORTEST = 4
_DETAIL = 300
#: Kinds whose URL begins with the name of a machine, which is not a secret, and helps to find a fault.
_HOSTED = frozenset({"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms", "ntfy", "ntfys", "syslog"})
_AUTHORITY = re.compile(r"(?:[^/?#]*@)?(?P<host>[^/?#@:]*)(?::\d+)?(?=[/?#]|$)")


class TargetError(ProblemError):
    """The targets cannot be used; no URL is shown."""


class NotSent(Exception):
    """A target did not take a message; the text says why, without secrets."""


@dataclass(frozen=True)
class Target:
    """One target. `id` identifies it over a restart, and reveals nothing of its URL."""

    name: str
    id: str
    url: str
    service: Any

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def send(self, text: Text) -> None:
        """Send a message, and wait for the outcome. Raises `NotSent`."""
        said = _captured()
        logger = _logger()
        logger.addHandler(said)
        try:
            taken = self.service.notify(body=text.body, title=text.title, notify_type=text.kind, body_format="text")
        except Exception as error:
            # A service's own code, of which there are more than a hundred.
            raise NotSent(_clean(f"{type(error).__name__}: {error}", self.url)) from None
        finally:
            logger.removeHandler(said)
        if not taken:
            stream: Any = said.stream
            raise NotSent(_clean(stream.getvalue(), self.url) or "the service did not accept it, and gave no reason")


def make_targets(urls: Sequence[str]) -> list[Target]:
    """The targets of these URLs, in their order. Raises `TargetError`."""
    if not urls:
        return []
    try:
        from apprise import Apprise
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apprise":
            raise
        raise TargetError("[notify] needs the Python package apprise", install_command("notify")) from None
    _logger()
    found = []
    for number, url in enumerate(urls, 1):
        kind = scheme_of(url)
        service: Any = Apprise()
        if not service.add(url):
            raise TargetError(
                f"number {number} ({kind}://{HIDDEN}) is not a URL that Apprise can use",
                "see its documentation for each service's URL (https://github.com/caronc/apprise/wiki)",
                "[notify] targets",
            )
        for each in service:
            each.socket_connect_timeout = CONNECT_S
            each.socket_read_timeout = ANSWER_S
        name = f"target {number} ({kind})"
        found.append(Target(name, hashlib.sha256(url.encode()).hexdigest()[:16], url, service))
    return found


def _logger() -> logging.Logger:
    """Apprise's own log: it may name URLs, so only the sender gets it."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def _captured() -> logging.StreamHandler[io.StringIO]:
    handler = logging.StreamHandler(io.StringIO())
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _clean(said: str, url: str) -> str:
    """A service's message in one line, without any part of the URL that may be a secret."""
    text = " ".join(said.split())
    for part in _secrets(url):
        text = text.replace(part, HIDDEN)
    text = visible(text)
    return text if len(text) <= _DETAIL else text[: _DETAIL - 1] + "…"


def _secrets(url: str) -> list[str]:
    """Every part of a URL except its kind and, for some kinds, the machine's name; the longest first."""
    scheme, _, rest = url.partition("://")
    found = set()
    authority = _AUTHORITY.match(rest)
    host = authority.group("host") if authority and scheme.lower() in _HOSTED else None
    for part in re.split(r"[/?&=#@:,;\s]+", rest):
        for form in (part, unquote(part)):
            if len(form) >= _SHORTEST and form != host:
                found.add(form)
    return sorted(found, key=len, reverse=True)
