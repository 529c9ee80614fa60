"""slmgr's options on the lab host: its settings, its licence and its counters, kept in the lab's own store.

As on Windows, settings take effect when the host is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kmstwist.addresses import DEFAULT_PORT
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.host import (
    DEFAULT_ACTIVATION_INTERVAL,
    DEFAULT_RENEWAL_INTERVAL,
    MAX_INTERVAL,
    MIN_INTERVAL,
    LabHost,
    Memory,
)
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.slmgr.options import Option
from kmstwist.lab.store import HostSettings

HOST = "host"
"""The reserved name of the lab host among the lab machines."""
_RESTART = "Warning: a KMS reboot is needed for this setting to take effect: start the lab again (twistd kms)."


@dataclass(slots=True)
class HostSession:
    """The lab host as a command finds it: its key, what it remembers, its settings (which commands replace).

    `running` is what it was started with last.
    """

    key: LabKey
    memory: Memory
    settings: HostSettings
    now: float
    running: HostSettings = field(default_factory=HostSettings)


def run(session: HostSession, option: Option, arguments: list[str]) -> list[str]:
    """Carry an option out on the lab host; the lines to print. Raises `Published` or `Refused`."""
    command = _COMMANDS.get(option.name)
    if command is None:
        raise Refused(
            f"/{option.name} is a client's option, and a KMS host is not its own client. "
            "Use it on a lab machine: kmstwist lab machine new NAME makes one."
        )
    return command(session, arguments)


def _ipk(session: HostSession, arguments: list[str]) -> list[str]:
    if arguments[0].strip().upper() != session.key.host_key:
        raise Published(
            Status.SL_E_INVALID_PRODUCT_KEY,
            "The lab host takes the lab's own host key only (kmstwist lab hostkey prints it). Type no key of your own.",
        )
    return [f"Installed product key {session.key.host_key} successfully."]


def _ato(session: HostSession, arguments: list[str]) -> list[str]:
    return [f"Activating kmstwist lab host ({session.key.host_id}) ...", "Product activated successfully."]


def _dli(session: HostSession, arguments: list[str]) -> list[str]:
    return [*_head(session), "License Status: Licensed", "", *_service(session), "", *_requests(session)]


def _dlv(session: HostSession, arguments: list[str]) -> list[str]:
    return [
        *_head(session),
        f"Extended PID: {session.key.host_id}",
        "License Status: Licensed",
        "",
        *_service(session),
        "",
        *_requests(session),
    ]


def _requests(session: HostSession) -> list[str]:
    counters = session.memory.counters
    by_status = counters.by_status
    words = {
        LicenseStatus.UNLICENSED: "Unlicensed",
        LicenseStatus.LICENSED: "Licensed",
        LicenseStatus.OOB_GRACE: "Initial grace period",
        LicenseStatus.OOT_GRACE: "License expired or Hardware out of tolerance",
        LicenseStatus.NON_GENUINE_GRACE: "Non-genuine grace period",
        LicenseStatus.NOTIFICATION: "Notification",
    }
    return [
        "Key Management Service cumulative requests received from clients",
        f"    Total requests received: {counters.total}",
        f"    Failed requests received: {counters.failed}",
        *(f"    Requests with License Status {text}: {by_status[status]}" for status, text in words.items()),
    ]


def _xpr(session: HostSession, arguments: list[str]) -> list[str]:
    return ["kmstwist lab host:", "    The machine is permanently activated."]


def _sai(session: HostSession, arguments: list[str]) -> list[str]:
    minutes = _minutes(arguments[0], "/sai")
    session.settings = replace(session.settings, activation_interval=minutes)
    return [f"Volume activation interval set to {minutes} minutes successfully.", _RESTART]


def _sri(session: HostSession, arguments: list[str]) -> list[str]:
    minutes = _minutes(arguments[0], "/sri")
    session.settings = replace(session.settings, renewal_interval=minutes)
    return [f"Volume renewal interval set to {minutes} minutes successfully.", _RESTART]


def _sprt(session: HostSession, arguments: list[str]) -> list[str]:
    text = arguments[0]
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise Refused(f"/sprt {text}: a TCP port is a number from 1 to 65535.")
    session.settings = replace(session.settings, port=int(text))
    return [f"KMS port set to {int(text)} successfully.", _RESTART]


def _sdns(session: HostSession, arguments: list[str]) -> list[str]:
    session.settings = replace(session.settings, publishes=True)
    return ["KMS DNS publishing enabled", _RESTART]


def _cdns(session: HostSession, arguments: list[str]) -> list[str]:
    session.settings = replace(session.settings, publishes=False)
    return ["KMS DNS publishing disabled", _RESTART]


def _spri(session: HostSession, arguments: list[str]) -> list[str]:
    session.settings = replace(session.settings, low_priority=False)
    return ["KMS priority set to Normal", _RESTART]


def _cpri(session: HostSession, arguments: list[str]) -> list[str]:
    session.settings = replace(session.settings, low_priority=True)
    return ["KMS priority set to Low", _RESTART]


def _head(session: HostSession) -> list[str]:
    return [
        "Name: kmstwist lab host",
        "Description: kmstwist lab, VOLUME_KMS channel (rehearsal only: it grants no licences)",
        f"Partial Product Key: {session.key.host_key[-5:]}",
    ]


def _service(session: HostSession) -> list[str]:
    settings = session.settings
    host = LabHost(session.key, now=lambda: session.now, random=bytes, memory=session.memory)
    counts = {name: host.count(app_id) for app_id, name in APPLICATION_NAMES.items()}
    shown = {name: count for name, count in counts.items() if count} or {"Windows": 0}
    running = session.running
    publishing = "disabled" if settings.publishes is False else "enabled"
    if publishing == "enabled" and running.publishes is False:
        publishing += " (the lab as it was started publishes nothing: it has no [dns.publish] domains, or /cdns)"
    return [
        "Key Management Service is enabled on this machine",
        *(f"    Current count: {count} ({name})" for name, count in shown.items()),
        f"    Listening on Port: {_in_force(running.port, settings.port, DEFAULT_PORT)}",
        f"    DNS publishing {publishing}",
        f"    KMS priority: {'Low' if settings.low_priority else 'Normal'}",
        "    Activation interval: "
        + _in_force(running.activation_interval, settings.activation_interval, DEFAULT_ACTIVATION_INTERVAL, " minutes"),
        "    Renewal interval: "
        + _in_force(running.renewal_interval, settings.renewal_interval, DEFAULT_RENEWAL_INTERVAL, " minutes"),
    ]


def _in_force(running: int | None, configured: int | None, default: int, unit: str = "") -> str:
    """A value that is set, and beside it the one in force until the next start."""
    value = configured if configured is not None else running if running is not None else default
    if running is None or running == value:
        return f"{value}{unit}"
    return f"{value}{unit} (until the lab is started again: {running})"


def _minutes(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and MIN_INTERVAL <= int(text) <= MAX_INTERVAL):
        raise Refused(f"{option} {text}: an interval is {MIN_INTERVAL} to {MAX_INTERVAL} minutes (30 days).")
    return int(text)


_COMMANDS: dict[str, Callable[[HostSession, list[str]], list[str]]] = {
    "ipk": _ipk,
    "ato": _ato,
    "dli": _dli,
    "dlv": _dlv,
    "xpr": _xpr,
    "sai": _sai,
    "sri": _sri,
    "sprt": _sprt,
    "sdns": _sdns,
    "cdns": _cdns,
    "spri": _spri,
    "cpri": _cpri,
}
