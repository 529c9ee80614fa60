"""ospp's options that set how Office finds its KMS host: /sethst and those like it."""

from __future__ import annotations

import re
from collections.abc import Callable

from kmstwist.addresses import AddressError, parse_host_port
from kmstwist.kms.catalogue import OFFICE
from kmstwist.kms.status import Status
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.machine import KmsSettings
from kmstwist.lab.machines.session import Output, Session, lookup_domain
from kmstwist.lab.ospp.texts import APPLIED, UNSUPPORTED


def _sethst(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is None:
        return
    host = value.lower()
    try:
        address = parse_host_port(host)
        if host in (address.host, f"[{address.host}]"):
            host = address.host
        else:
            output.notes.append(f"/sethst takes a name or an address; the port is set with /setprt:{address.port}.")
    except AddressError as error:
        output.notes.append(f"{error}.")
    settings.host = host
    output.lines.append(APPLIED)


def _setprt(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is None:
        return
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise Published(
            Status.E_INVALIDARG, f"/setprt:{value}: a TCP port is a number from 1 to 65535.", has_own_cure=True
        )
    settings.port = int(value)
    output.lines.append(APPLIED)


def _remhst(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is not None:
        settings.host = settings.port = None
        output.lines.append(APPLIED)


def _cachst(session: Session, value: str, output: Output) -> None:
    if value.upper() not in ("TRUE", "FALSE"):
        output.notes.append(f"{UNSUPPORTED} A TRUE or FALSE value is required for: /cachst")
        return
    session.machine.caching = value.upper() == "TRUE"
    if not session.machine.caching:
        session.machine.cached = None
    output.lines.append(APPLIED)


def _actype(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is None:
        return
    if value not in ("0", "1", "2", "3"):
        output.notes.append(f"{UNSUPPORTED} It is 0 (for all), 1 (for AD), 2 (for KMS) or 3 (for Token): /actype")
        return
    settings.act_type = int(value) or None
    output.lines.append(APPLIED)


def _skms_domain(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is None:
        return
    settings.lookup_domain, notes = lookup_domain(value)
    output.notes += notes
    output.lines.append(APPLIED)


def _ckms_domain(session: Session, value: str, output: Output) -> None:
    settings = _settings(session, output)
    if settings is not None:
        settings.lookup_domain = None
        output.lines.append(APPLIED)


def _settings(session: Session, output: Output) -> KmsSettings | None:
    """The settings of the application Office, which are the ones that ospp changes; None without Office."""
    if not session.office(with_key=False):
        output.lines.append("No Office KMS licenses were found on the system.")
        return None
    return session.machine.scope(str(OFFICE))


COMMANDS: dict[str, Callable[[Session, str, Output], None]] = {
    "sethst": _sethst,
    "setprt": _setprt,
    "remhst": _remhst,
    "cachst": _cachst,
    "actype": _actype,
    "skms-domain": _skms_domain,
    "ckms-domain": _ckms_domain,
}
