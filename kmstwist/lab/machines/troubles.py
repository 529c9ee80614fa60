"""Troubles to practise on: states of a lab machine with a code that an outage or a low count never shows.

A trouble is put on a product (`lab machine trouble NAME TROUBLE`) and lasts until its cure on Windows is carried out,
or until it is removed again (`none`).
"""

from __future__ import annotations

from dataclasses import dataclass

from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.client import GRACE_PERIOD
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.machine import Licence, Machine

_TOKEN_ONLY = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble: its code, what an administrator sees, and the cure.

    `status` is the licence state that it brings (None: as it was).
    """

    name: str
    code: int
    seen: str
    cure: str
    status: LicenseStatus | None = None


NOT_BOUND = Trouble(
    "not-bound",
    int(Status.SL_E_VL_MACHINE_NOT_BOUND),
    "notification mode, and activation fails: the machine's binding to KMS is lost",
    "install the key again (slmgr /ipk, ospp /inpkey), then activate",
    LicenseStatus.NOTIFICATION,
)
HOST_NOT_ACTIVATED = Trouble(
    "host-not-activated",
    int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED),
    "the host answers that it is not activated itself",
    "activate the KMS host; in the lab: kmstwist lab machine trouble NAME none",
)
NOT_GENUINE = Trouble(
    "not-genuine",
    int(Status.SL_E_NOT_GENUINE),
    "notification mode for a copy that is not genuine, whatever the host grants",
    "install a genuine key (slmgr /ipk), then activate",
    LicenseStatus.NOTIFICATION,
)
NON_GENUINE_GRACE = Trouble(
    "non-genuine-grace",
    int(Status.SL_I_NONGENUINE_GRACE_PERIOD),
    "30 days of grace for a copy that is not genuine, then notification mode",
    "install a genuine key (slmgr /ipk), then activate",
    LicenseStatus.NON_GENUINE_GRACE,
)
HARDWARE_CHANGED = Trouble(
    "hardware-changed",
    int(Status.SL_E_OUT_OF_TOLERANCE),
    "notification mode: the hardware is no longer the one that was activated",
    "activate again (slmgr /ato)",
    LicenseStatus.NOTIFICATION,
)
BLOCKED_KEY = Trouble(
    "blocked-key",
    int(Status.SL_E_CHPA_PRODUCT_KEY_BLOCKED),
    "activation fails: the key is blocked at Microsoft's activation server",
    "install another key (slmgr /ipk, ospp /inpkey)",
)
BAD_DNS_NAME = Trouble(
    "bad-dns-name",
    int(Status.E_DNS_INVALID_NAME),
    "discovery fails: the machine's DNS domain is not a name that DNS can look up",
    "set the host by hand (slmgr /skms), or give the machine a domain",
)
TOKEN_ONLY = Trouble(
    "token-only",
    int(Status.SL_E_NOT_SUPPORTED),
    "slmgr /ato does nothing: only token-based activation is allowed",
    "allow KMS again (slmgr /act-type 0)",
)

TROUBLES = {
    trouble.name: trouble
    for trouble in (
        NOT_BOUND,
        HOST_NOT_ACTIVATED,
        NOT_GENUINE,
        NON_GENUINE_GRACE,
        HARDWARE_CHANGED,
        BLOCKED_KEY,
        BAD_DNS_NAME,
        TOKEN_ONLY,
    )
}
NONE = "none"
"""The word that ends a trouble, in place of its name."""


def trouble_lines() -> list[str]:
    """All troubles, one on each line: name, code, and what is seen."""
    width = max(map(len, TROUBLES))
    return [f"  {one.name:<{width}}  0x{one.code:08X}  {one.seen}" for one in TROUBLES.values()]


def trouble_of(licence: Licence) -> Trouble | None:
    """The trouble that a licence is in, if any."""
    return TROUBLES.get(licence.trouble)


def afflict(machine: Machine, licence: Licence, trouble: Trouble, now: float) -> None:
    """Put a trouble on a product; raises `Refused` if it has no key."""
    if licence.partial_key is None:
        raise Refused(f"{licence.product.name} on {machine.name} has no key: install one first (slmgr /ipk).")
    relieve(machine, licence, now)
    client = licence.client
    if trouble is TOKEN_ONLY:
        machine.scope(str(licence.act_id)).act_type = _TOKEN_ONLY
        return
    licence.trouble = trouble.name
    if trouble.status is not None:
        licence.by_phone = False
        client.status = trouble.status
        client.expires = now + GRACE_PERIOD if trouble.status is LicenseStatus.NON_GENUINE_GRACE else None


def relieve(machine: Machine, licence: Licence, now: float) -> None:
    """End a licence's trouble; if the trouble changed its state, a new grace period begins."""
    trouble = trouble_of(licence)
    licence.trouble = ""
    settings = machine.scope(str(licence.act_id))
    if settings.act_type == _TOKEN_ONLY:
        settings.act_type = None
    if trouble is not None and trouble.status is not None:
        licence.client = machine.new_client(licence.product, now)
