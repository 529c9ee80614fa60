"""slmgr's options on the lab host: its settings, its licence and its counters, kept in the lab's own store.

As on Windows, settings take effect when the host is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from kmstwist.addresses import DEFAULT_PORT
from kmstwist.kms.catalogue import OFFICE, WINDOWS
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.host import LabHost
from kmstwist.lab.host_memory import Memory
from kmstwist.lab.host_settings import DEFAULT_ACTIVATION_INTERVAL as ACTIVATION
from kmstwist.lab.host_settings import DEFAULT_RENEWAL_INTERVAL as RENEWAL
from kmstwist.lab.host_settings import MAX_INTERVAL, MIN_INTERVAL, HostSettings
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines import regions
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.phone import host_installation_id
from kmstwist.lab.machines.session import Output, noted, read_act_id
from kmstwist.lab.slmgr.options import Option
from kmstwist.lab.slmgr.texts import TYPE_MISMATCH, error_line
from kmstwist.lab.windows_names import NEWEST

NAME = "Windows(R), LAB-KMSHost edition"
DESCRIPTION = "Windows(R) Operating System, VOLUME_KMS_LAB channel"
OFFICE_NAME = "Office 21, LAB-OfficeKMSHost edition"
OFFICE_DESCRIPTION = "Office 21, VOLUME_KMS_LAB channel"
"""The lab host's names: in the form of a KMS host's, but recognisable as the lab's."""
HOST_ID = activation_id("kmstwist lab host")
OFFICE_HOST_ID = activation_id("kmstwist lab host for Office")
_REBOOT = "Warning: a KMS reboot is needed for this setting to take effect."
_RESTART = "Start the lab again for it: twistd kms."


@dataclass(slots=True)
class HostSession:
    """The lab host as a command finds it: its key, its memory, and its settings, which commands replace.

    `running` are the settings with which it was last started.
    """

    key: LabKey
    memory: Memory
    settings: HostSettings
    now: float
    running: HostSettings = field(default_factory=HostSettings)
    region: str = regions.DEFAULT


def run(session: HostSession, option: Option, arguments: list[str]) -> Output:
    """Carry an option out on the lab host. Raises `Refused` for a client's options."""
    command = _COMMANDS.get(option.name)
    if command is None:
        raise Refused(
            f"/{option.name} is a client's option, and a KMS host is not its own client. "
            "Use it on a lab machine: kmstwist lab machine new NAME makes one."
        )
    output = Output()
    try:
        command(session, arguments, output)
    except Published as error:
        output.code = error.code
        output.lines.append(error_line(error.code))
        output.notes += noted(error)
    return output


def _ipk(session: HostSession, arguments: list[str], output: Output) -> None:
    if arguments[0].strip().upper() != session.key.host_key:
        raise Published(
            Status.SL_E_INVALID_PRODUCT_KEY,
            "The lab host takes the lab's own host key only (kmstwist lab hostkey prints it). Type no key of your own.",
            has_own_cure=True,
        )
    output.lines.append(f"Installed product key {arguments[0]} successfully.")


def _ato(session: HostSession, arguments: list[str], output: Output) -> None:
    if arguments and _application(arguments[0]) is None:
        output.lines.append("Error: product not found.")
        return
    name = OFFICE_NAME if arguments and _application(arguments[0]) == OFFICE else NAME
    output.lines += [
        f"Activating {name} ({arguments[0] if arguments else HOST_ID}) ...",
        "Product activated successfully.",
    ]


def _application(act_id: str) -> UUID | None:
    return {str(HOST_ID): WINDOWS, str(OFFICE_HOST_ID): OFFICE}.get(read_act_id(act_id))


def _dli(session: HostSession, arguments: list[str], output: Output) -> None:
    _show(session, arguments, output, detailed=False)


def _dlv(session: HostSession, arguments: list[str], output: Output) -> None:
    output.lines.append(f"Software licensing service version: {NEWEST.version}")
    _show(session, arguments, output, detailed=True)


def _show(session: HostSession, arguments: list[str], output: Output, *, detailed: bool) -> None:
    wanted = arguments[0].lower() if arguments else ""
    applications = [WINDOWS, OFFICE] if wanted == "all" else [_application(wanted) if wanted else WINDOWS]
    for application in applications:
        if application is None:
            output.lines.append("Error: product key not found.")
            output.notes.append(f"The lab host has: {HOST_ID} (Windows), {OFFICE_HOST_ID} (Office).")
            continue
        output.lines += _licence(session, application, detailed)
        output.lines += ["", *_service(session, application)]
        if application == WINDOWS:
            output.lines += ["", *_requests(session)]
        if wanted in ("", "all"):
            output.lines.append("")
    output.notes += _pending(session)
    if not wanted:
        output.notes.append(f"The count of Office clients: slmgr /dlv {OFFICE_HOST_ID}, or /dlv all.")


def _licence(session: HostSession, application: UUID, detailed: bool) -> list[str]:
    key = session.key
    of_windows = application == WINDOWS
    lines = [
        "",
        f"Name: {NAME if of_windows else OFFICE_NAME}",
        f"Description: {DESCRIPTION if of_windows else OFFICE_DESCRIPTION}",
    ]
    if detailed:
        lines += [
            f"Activation ID: {HOST_ID if of_windows else OFFICE_HOST_ID}",
            f"Application ID: {application}",
            f"Extended PID: {key.host_id}",
            "Product Key Channel: Volume:CSVLK",
            f"Installation ID: {host_installation_id(key)}",
        ]
    lines += [f"Partial Product Key: {key.host_key[-5:]}", "License Status: Licensed"]
    if detailed:
        lines += [
            f"Remaining {'Windows' if of_windows else 'App'} rearm count: {NEWEST.rearms if of_windows else 0}",
            f"Remaining SKU rearm count: {NEWEST.rearms if of_windows else 0}",
            f"Trusted time: {regions.region(session.region).local(session.now)}",
        ]
    return lines


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


def _xpr(session: HostSession, arguments: list[str], output: Output) -> None:
    output.lines += [f"{NAME}:", "    The machine is permanently activated."]


def _sai(session: HostSession, arguments: list[str], output: Output) -> None:
    minutes = _minutes(arguments[0], output)
    if minutes is not None:
        done = f"Volume activation interval set to {arguments[0]} minutes successfully."
        _set(session, output, done, activation_interval=minutes)


def _sri(session: HostSession, arguments: list[str], output: Output) -> None:
    minutes = _minutes(arguments[0], output)
    if minutes is not None:
        done = f"Volume renewal interval set to {arguments[0]} minutes successfully."
        _set(session, output, done, renewal_interval=minutes)


def _sprt(session: HostSession, arguments: list[str], output: Output) -> None:
    port = _number(arguments[0])
    if not 1 <= port <= 65535:
        raise Published(Status.E_INVALIDARG, "A TCP port is a number from 1 to 65535.", has_own_cure=True)
    _set(session, output, f"KMS port set to {arguments[0]} successfully.", port=port)


def _sdns(session: HostSession, arguments: list[str], output: Output) -> None:
    _set(session, output, "DNS publishing enabled", publishes=True)


def _cdns(session: HostSession, arguments: list[str], output: Output) -> None:
    _set(session, output, "DNS publishing disabled", publishes=False)


def _spri(session: HostSession, arguments: list[str], output: Output) -> None:
    _set(session, output, "KMS priority set to Normal", low_priority=False)


def _cpri(session: HostSession, arguments: list[str], output: Output) -> None:
    _set(session, output, "KMS priority set to Low", low_priority=True)


def _set(session: HostSession, output: Output, done: str, **settings: Any) -> None:
    """Change the host's settings, and say that they take effect at its next start."""
    session.settings = replace(session.settings, **settings)
    output.lines += [done, _REBOOT]
    output.notes.append(_RESTART)


def _service(session: HostSession, application: UUID) -> list[str]:
    settings, running = session.settings, session.running
    host = LabHost(session.key, now=lambda: session.now, random=bytes, memory=session.memory)
    return [
        "Key Management Service is enabled on this machine",
        f"    Current count: {host.count(application)}",
        f"    Listening on Port: {settings.port or running.port or DEFAULT_PORT}",
        f"    DNS publishing {'disabled' if settings.publishes is False else 'enabled'}",
        f"    KMS priority: {'Low' if settings.low_priority else 'Normal'}",
    ]


def _pending(session: HostSession) -> list[str]:
    """Notes on settings that are not yet in force, and on the intervals, which Windows does not print here."""
    settings, running = session.settings, session.running
    notes = [
        _in_force("the TCP port", running.port, settings.port, DEFAULT_PORT),
        _in_force(
            "the activation interval", running.activation_interval, settings.activation_interval, ACTIVATION, " minutes"
        ),
        _in_force("the renewal interval", running.renewal_interval, settings.renewal_interval, RENEWAL, " minutes"),
    ]
    if settings.publishes is not False and running.publishes is False:
        notes.append("The lab as it was started publishes nothing: it has no [dns.publish] domains, or /cdns.")
    return notes


def _in_force(what: str, running: int | None, configured: int | None, default: int, unit: str = "") -> str:
    """A value that is set, and the one in force until the next start."""
    value = configured if configured is not None else running if running is not None else default
    begun = f"{what[0].upper()}{what[1:]} is {value}{unit}"
    if running is None or running == value:
        return f"{begun}."
    return f"{begun} (until the lab is started again: {running})."


def _minutes(text: str, output: Output) -> int | None:
    minutes = _number(text)
    if minutes < 0:
        output.lines.append("Error: The data is invalid")
        return None
    if not MIN_INTERVAL <= minutes <= MAX_INTERVAL:
        why = f"An interval is {MIN_INTERVAL} to {MAX_INTERVAL} minutes (30 days)."
        raise Published(Status.E_INVALIDARG, why, has_own_cure=True)
    return minutes


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Published(TYPE_MISMATCH, f"'{text}' is not a number.") from None


_COMMANDS: dict[str, Callable[[HostSession, list[str], Output], None]] = {
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
