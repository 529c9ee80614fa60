"""ospp's options for tokens, which the lab does not have, and for the licensing service."""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.lab.machines.session import Output, Session
from kmstwist.lab.ospp import show
from kmstwist.lab.ospp.texts import APPLIED, NO_KEYS, NO_LICENCES, ONLY_WINDOWS_7, RULE, error_lines

_BY_CERTIFICATE = "Installed product key detected - attempting to token activate the following product:"
_NO_TOKENS = "The lab has no tokens; its machines activate by KMS."
_REQUIRED_LICENCE_MISSING = 0xC004F304
_SERVICE = "Office Software Protection Platform"


def _no_licences(session: Session, value: str, output: Output) -> None:
    output.lines.append(NO_LICENCES)
    output.notes.append(_NO_TOKENS)


def _dtokcerts(session: Session, value: str, output: Output) -> None:
    for _ in session.office():
        output.lines += [*error_lines(_REQUIRED_LICENCE_MISSING), RULE]
    if not session.office():
        output.lines += [NO_KEYS, RULE]
    output.notes.append(_NO_TOKENS)


def _tokact(session: Session, value: str, output: Output) -> None:
    for licence in session.office():
        output.lines += [_BY_CERTIFICATE, *show.names(licence)]
        output.lines.append(f"Last 5 characters of installed product key: {licence.partial_key}")
        output.lines += [*error_lines(_REQUIRED_LICENCE_MISSING), RULE]
    if not session.office():
        output.lines += [NO_KEYS, RULE]
    output.notes.append(_NO_TOKENS)


def _userops(session: Session, value: str, output: Output) -> None:
    output.lines.append(APPLIED)


def _token_flag(session: Session, value: str, output: Output) -> None:
    if session.machine.windows.before_windows_8:
        output.lines.append(APPLIED)
    else:
        output.notes.append(f"{ONLY_WINDOWS_7} /stokflag, /ctokflag")


def _restart_service(session: Session, value: str, output: Output) -> None:
    if session.machine.windows.before_windows_8:
        output.lines.append(f"Successfully restarted: {_SERVICE}")
    else:
        output.notes.append("Error: The Software Protection Platform service is not installed.")


def _start_service(session: Session, value: str, output: Output) -> None:
    if session.machine.windows.before_windows_8:
        output.lines.append(f"Service startup type already set to automatic: {_SERVICE}")
    else:
        output.notes.append("Error: The Software Protection Platform service is not installed.")


def _boxed(session: Session, value: str, output: Output) -> None:
    # The script shows its version, or that a file is missing, in a message box.
    output.notes.append("On Windows this shows a box; the lab has nothing to show in it.")


COMMANDS: dict[str, Callable[[Session, str, Output], None]] = {
    "dtokils": _no_licences,
    "rtokil": _no_licences,
    "stokflag": _token_flag,
    "ctokflag": _token_flag,
    "dtokcerts": _dtokcerts,
    "tokact": _tokact,
    "puserops": _userops,
    "duserops": _userops,
    "osppsvcrestart": _restart_service,
    "osppsvcauto": _start_service,
    "regmof": _boxed,
    "version": _boxed,
}
