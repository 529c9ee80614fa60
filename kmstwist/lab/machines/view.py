"""A licence on a lab machine as Windows' licensing service shows it: one source for slmgr, ospp and WMI."""

from __future__ import annotations

from dataclasses import dataclass

from kmstwist.addresses import HostPort
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.lab.machines.phone import installation_id
from kmstwist.lab.machines.troubles import trouble_of

CHANNEL = "Volume:GVLK"
_REASONS = {
    LicenseStatus.UNLICENSED: Status.SL_E_PKEY_NOT_INSTALLED,
    LicenseStatus.LICENSED: Status.SL_E_VL_INFO_PRODUCT_USER_RIGHT,
    LicenseStatus.OOB_GRACE: Status.SL_I_OOB_GRACE_PERIOD,
    LicenseStatus.OOT_GRACE: Status.SL_I_OOT_GRACE_PERIOD,
    LicenseStatus.NON_GENUINE_GRACE: Status.SL_I_NONGENUINE_GRACE_PERIOD,
    LicenseStatus.NOTIFICATION: Status.SL_E_GRACE_TIME_EXPIRED,
    LicenseStatus.EXTENDED_GRACE: Status.SL_I_OOT_GRACE_PERIOD,
}


@dataclass(frozen=True, slots=True)
class View:
    """A licence at a moment (Unix seconds)."""

    machine: Machine
    licence: Licence
    now: float

    @property
    def status(self) -> LicenseStatus:
        """The licence state now."""
        return self.licence.client.advance(self.now)

    @property
    def reason(self) -> int:
        """Why the licence is in that state, as a code."""
        status = self.status
        trouble = trouble_of(self.licence)
        if trouble is not None and trouble.status is not None and status is LicenseStatus.NOTIFICATION:
            # A non-genuine copy stays non-genuine at the end of its grace.
            after_grace = trouble.status is LicenseStatus.NON_GENUINE_GRACE
            return int(Status.SL_E_NOT_GENUINE) if after_grace else trouble.code
        return int(_REASONS[status])

    @property
    def minutes_left(self) -> int:
        """Whole minutes until the state ends; 0 if it does not end."""
        return self.licence.client.minutes_left(self.now)

    @property
    def product_id(self) -> str:
        """The lab's product id, which shows that it is the lab's."""
        return f"LAB-{str(self.licence.act_id).upper()[:13]}"

    @property
    def by_hand(self) -> HostPort | None:
        """The KMS host that is set."""
        return self.machine.host_of(self.licence)

    @property
    def found(self) -> HostPort | None:
        """The KMS host that was found by DNS and activated it."""
        return self.licence.found

    def installation_id(self, key: LabKey) -> str:
        """The installation id for activation by telephone; "" without a key."""
        return installation_id(key, self.machine, self.licence) if self.licence.partial_key is not None else ""
