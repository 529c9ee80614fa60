"""The check of `kmstwist doctor` for the files that a configuration names: without them no server starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from kmstwist.findings import Finding, Health
from kmstwist.health.case import SUDO, Case
from kmstwist.problem import Problem, ProblemError
from kmstwist.system.rights import rights_for_named


def check_named_files(case: Case) -> Iterator[Finding]:
    """Users and certificates of the listeners, and the key for DNS; each is read as a starting server reads it."""
    for section, path, read in _named(case):
        try:
            with rights_for_named(path):
                read(path)
        except (ProblemError, OSError) as error:
            if os.geteuid() != 0 and path.exists() and not os.access(path, os.R_OK):
                # The server may run as another user, who can.
                yield Finding("named files", Health.DEGRADED, f"this user may not read {path}, of [{section}]", SUDO)
                continue
            found = Problem.of(error, f"[{section}]", "name a file that the server may read")
            if isinstance(error, OSError):
                found = Problem(f"{path} cannot be read: {error.strerror}", found.cure, found.where)
            yield Finding("named files", Health.DOWN, f"{found.placed}, so the server does not start", found.cure)


def _named(case: Case) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    """Each section that is in use with a file that it names, and what reads that."""
    from kmstwist.web.passwords import load_users

    config = case.config
    if config.web.listen is not None and config.web.users is not None:
        yield "web", Path(config.web.users), load_users
    publish = config.dns.publish
    if publish.domains and (signed := publish.key_file or publish.keytab) is not None:
        yield "dns.publish", signed, lambda _: publish.key()
    if any(place.startswith("tls:") for place in config.events.listen):
        for pem in (config.events.certificate, config.events.client_ca):
            if pem is not None:
                yield "events", Path(pem), _beginning


def _beginning(path: Path) -> None:
    with path.open("rb") as file:
        file.read(1)
