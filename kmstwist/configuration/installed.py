"""Whether the optional packages that a configuration needs are installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from kmstwist.collecting.settings import TLS, parse_place
from kmstwist.configuration.model import Config
from kmstwist.startup import StartupError
from kmstwist.system.extras import install_command


@dataclass(frozen=True, slots=True)
class Need:
    """An option of the configuration that is set, the Python module it needs, and the extra that installs it."""

    option: str
    module: str
    extra: str


def needs(config: Config) -> Iterator[Need]:
    """What the configuration needs beyond kmstwist's own dependencies."""
    if config.audit.enabled and config.audit.forward_to is not None:
        yield Need("[audit] forward_to", "psycopg", "postgres")
    if config.web.listen is not None and config.web.store is not None:
        yield Need("[web] store", "psycopg", "postgres")
    if config.dns.publish.domains and config.dns.publish.keytab is not None:
        yield Need("[dns.publish] keytab", "gssapi", "gssapi")
    if config.notify.targets:
        yield Need("[notify] targets", "apprise", "notify")
    if any(parse_place(place).kind == TLS for place in config.events.listen):
        yield Need("[events] listen", "OpenSSL", "tls")


def refuse_missing(config: Config) -> None:
    """Raise `StartupError` if a package that the configuration needs is not installed."""
    for need in needs(config):
        if find_spec(need.module) is None:
            raise StartupError(
                f"this needs the Python package {need.module}, which is not installed",
                install_command(need.extra),
                need.option,
            )
