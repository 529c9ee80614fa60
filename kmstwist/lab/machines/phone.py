"""Telephone activation with the lab's own ids: an installation id read out, a confirmation id typed in.

Both are derived from the lab's secret by HKDF (so by HMAC-SHA256), written in groups of digits whose last is a check
digit. An installation id is printed as Windows prints it, 63 digits in a row; a confirmation id comes from the lab's
telephone and begins with `LAB-`. Neither means anything to Windows, and no genuine id means anything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hmac import compare_digest

from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.machine import Licence, Machine

PREFIX = "LAB"
INSTALLATION_GROUPS, INSTALLATION_DIGITS = 9, 7
CONFIRMATION_GROUPS, CONFIRMATION_DIGITS = 8, 6


def installation_id(key: LabKey, machine: Machine, licence: Licence) -> str:
    """The installation id of a licence, 63 digits: new with each key installed and each new client machine id."""
    about = b"installation", machine.cmid.bytes, licence.act_id.bytes, licence.installs.to_bytes(4, "big")
    return "".join(_groups(key, about, INSTALLATION_GROUPS, INSTALLATION_DIGITS))


def host_installation_id(key: LabKey) -> str:
    """The installation id of the lab host itself, 63 digits."""
    return "".join(_groups(key, (b"host installation",), INSTALLATION_GROUPS, INSTALLATION_DIGITS))


def confirmation_id(key: LabKey, installation: str) -> str:
    """The confirmation id for an installation id; raises `Published` if that is mistyped."""
    checked = _checked(installation, INSTALLATION_GROUPS, INSTALLATION_DIGITS)
    parts = _groups(key, (b"confirmation", checked.encode()), CONFIRMATION_GROUPS, CONFIRMATION_DIGITS)
    return "-".join([PREFIX, *parts])


def check_confirmation(key: LabKey, machine: Machine, licence: Licence, confirmation: str) -> None:
    """Raise `Published`, with the code Windows has for it, unless this confirmation id belongs to the licence."""
    checked = _checked(confirmation, CONFIRMATION_GROUPS, CONFIRMATION_DIGITS)
    wanted = confirmation_id(key, installation_id(key, machine, licence))
    if not compare_digest(checked, _digits(wanted)):
        raise Published(Status.SL_E_CIDIID_MISMATCHED)


def deposit(key: LabKey, machine: Machine, licence: Licence, confirmation: str) -> None:
    """Activate a licence for good with a confirmation id; raises `Published` if it is not this licence's."""
    check_confirmation(key, machine, licence, confirmation)
    licence.client.status = LicenseStatus.LICENSED
    licence.client.expires = None
    licence.by_phone = True
    licence.trouble = ""


def _groups(key: LabKey, about: Iterable[bytes], groups: int, digits: int) -> list[str]:
    number = int.from_bytes(key.telephone_digest(b"\0".join(about)), "big")
    parts: list[str] = []
    for _ in range(groups):
        number, body = divmod(number, 10 ** (digits - 1))
        text = f"{body:0{digits - 1}d}"
        parts.append(text + _check_digit(text, len(parts)))
    return parts


def _check_digit(text: str, group: int) -> str:
    # Weighted by place and group, so that two groups or two neighbouring digits that are swapped are noticed.
    return str((sum(int(digit) * (place % 9 + 1) for place, digit in enumerate(text)) + group) % 10)


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text.strip().upper().removeprefix(PREFIX))


def _checked(text: str, groups: int, digits: int) -> str:
    bare = _digits(text)
    if not (bare.isascii() and bare.isdigit()):
        raise Published(Status.SL_E_CIDIID_INVALID_DATA)
    if len(bare) != groups * digits:
        raise Published(Status.SL_E_CIDIID_INVALID_DATA_LENGTH)
    for group in range(groups):
        part = bare[group * digits : (group + 1) * digits]
        if part[-1] != _check_digit(part[:-1], group):
            raise Published(Status.SL_E_CIDIID_INVALID_CHECK_DIGITS)
    return bare
