"""slmgr's options for activation by tokens and by Active Directory; a lab machine has neither.

They answer as Windows does if there is nothing to act on. A machine with a domain counts as a member of that domain,
whose Active Directory holds no activation object.
"""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.kms.status import Status
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.session import Output, Session
from kmstwist.lab.slmgr.texts import (
    NO_SUCH_DOMAIN,
    NO_SUCH_OBJECT,
    REQUIRED_LICENCE_MISSING,
    TYPE_MISMATCH,
)

NO_LICENCES = "No licenses found."
_NO_TOKENS = "The lab has no tokens; its machines activate by KMS."
_NO_DIRECTORY = "The lab has no Active Directory; its machines activate by KMS."
_CONTAINER = "CN=Activation Objects,CN=Microsoft SPP,CN=Services,CN=Configuration"


def _lil(session: Session, arguments: list[str], output: Output) -> None:
    output.lines += ["Token-based Activation Issuance Licenses:", "", NO_LICENCES]


def _ril(session: Session, arguments: list[str], output: Output) -> None:
    try:
        int(arguments[1])
    except ValueError:
        raise Published(TYPE_MISMATCH, f"'{arguments[1]}' is not a version: it is a number.") from None
    output.lines += ["Removing Token-based Activation License ...", "", NO_LICENCES]


def _ltc(session: Session, arguments: list[str], output: Output) -> None:
    _keyed(session, output)
    raise Published(REQUIRED_LICENCE_MISSING, _NO_TOKENS)


def _fta(session: Session, arguments: list[str], output: Output) -> None:
    output.lines.append(_keyed(session, output))
    raise Published(REQUIRED_LICENCE_MISSING, _NO_TOKENS)


def _keyed(session: Session, output: Output) -> str:
    """The line with which activation of Windows begins. Fails if Windows has no key."""
    for licence in session.machine.licences:
        if licence.is_windows and licence.partial_key is not None:
            return f"Activating {licence.naming.name} ({licence.act_id}) ..."
    output.lines.append("Error: product key not found.")
    raise Published(Status.SL_E_PKEY_NOT_INSTALLED)


def _member(session: Session) -> str:
    domain = session.machine.domain
    if domain is None:
        raise Published(NO_SUCH_DOMAIN, f"{session.machine.name} has no domain (lab machine new --domain).")
    return domain


def _ad_key(session: Session, arguments: list[str], output: Output) -> None:
    _member(session)
    raise Published(
        Status.SL_E_INVALID_PRODUCT_KEY, f"It wants a KMS host key. {_NO_DIRECTORY} Type no key of your own."
    )


def _ao_list(session: Session, arguments: list[str], output: Output) -> None:
    _member(session)
    output.lines += ["Activation Objects", "    No objects found"]
    output.notes.append(_NO_DIRECTORY)


def _del_ao(session: Session, arguments: list[str], output: Output) -> None:
    domain = _member(session)
    name = arguments[0]
    if ",cn=" not in name.lower():
        first = name if name.lower().startswith("cn=") else f"CN={name}"
        parts = ",".join(f"DC={label}" for label in domain.split("."))
        output.lines += [f"    AO DN: {first},{_CONTAINER},{parts}", ""]
    raise Published(NO_SUCH_OBJECT, _NO_DIRECTORY)


COMMANDS: dict[str, Callable[[Session, list[str], Output], None]] = {
    "lil": _lil,
    "ril": _ril,
    "ltc": _ltc,
    "fta": _fta,
    "ad-activation-online": _ad_key,
    "ad-activation-get-iid": _ad_key,
    "ad-activation-apply-cid": _ad_key,
    "ao-list": _ao_list,
    "del-ao": _del_ao,
}
