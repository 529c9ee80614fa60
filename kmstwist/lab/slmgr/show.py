"""What slmgr /dli, /dlv and /xpr print about a lab machine's licence, line for line as slmgr.vbs does.

The slmgr of Windows 7 and Server 2008 R2 prints less, and rounds days down; that of Windows 8 and later rounds them up.
"""

from __future__ import annotations

from kmstwist.addresses import DEFAULT_PORT, HostPort
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.machines.machine import Licence
from kmstwist.lab.machines.session import Session
from kmstwist.lab.machines.view import CHANNEL, View

MINUTES_A_DAY = 1440
ACT_TYPES = {0: "All", 1: "AD", 2: "KMS", 3: "Token"}
STATUS_WORDS = {
    LicenseStatus.UNLICENSED: "Unlicensed",
    LicenseStatus.LICENSED: "Licensed",
    LicenseStatus.OOB_GRACE: "Initial grace period",
    LicenseStatus.OOT_GRACE: "Additional grace period",
    LicenseStatus.NON_GENUINE_GRACE: "Non-genuine grace period",
    LicenseStatus.NOTIFICATION: "Notification",
    LicenseStatus.EXTENDED_GRACE: "Extended grace period",
}
#: What slmgr adds to some of these.
_STATUS_ADDS = {
    LicenseStatus.OOT_GRACE: " (KMS license expired or hardware out of tolerance)",
    LicenseStatus.NON_GENUINE_GRACE: ".",
}
UPDATE = "Please use slmgr.vbs /ato to activate and update KMS client information in order to update values."
_WHY_NOTIFIED = {
    int(Status.SL_E_NOT_GENUINE): " (non-genuine).",
    int(Status.SL_E_GRACE_TIME_EXPIRED): " (grace time expired).",
}
_ENDS = {
    LicenseStatus.LICENSED: "Volume activation will expire",
    LicenseStatus.OOB_GRACE: "Initial grace period ends",
    LicenseStatus.OOT_GRACE: "Additional grace period ends",
    LicenseStatus.NON_GENUINE_GRACE: "Non-genuine grace period ends",
    LicenseStatus.EXTENDED_GRACE: "Extended grace period ends",
}
_GRACES = (
    LicenseStatus.OOB_GRACE,
    LicenseStatus.OOT_GRACE,
    LicenseStatus.NON_GENUINE_GRACE,
    LicenseStatus.EXTENDED_GRACE,
)


def shown(session: Session, licence: Licence, *, detailed: bool) -> list[str]:
    """The lines of /dli, or the lines of /dlv about a product."""
    view = View(session.machine, licence, session.now)
    older = session.machine.windows.before_windows_8
    lines = ["", f"Name: {licence.naming.name}", f"Description: {licence.naming.description}"]
    if detailed:
        lines += _ids(session, view, older)
    if licence.partial_key is None:
        lines.append("This license is not in use.")
    else:
        lines.append(f"Partial Product Key: {licence.partial_key}")
    lines += _status(view, older)
    if detailed:
        lines += _rearms(session, licence, older)
    if not older:
        lines.append(f"Configured Activation Type: {ACT_TYPES[session.machine.act_type_of(licence)]}")
    if view.status is LicenseStatus.LICENSED:
        return [*lines, *_kms(view, older)]
    return [*lines, UPDATE]


def expiration(session: Session, licence: Licence) -> list[str]:
    """The lines of /xpr."""
    view = View(session.machine, licence, session.now)
    status = view.status
    if status is LicenseStatus.UNLICENSED:
        text = "Unlicensed"
    elif status is LicenseStatus.NOTIFICATION:
        text = "Windows is in Notification mode"
    elif status is LicenseStatus.LICENSED and not view.minutes_left:
        text = "The machine is permanently activated."
    else:
        # slmgr adds the remaining minutes to the present time.
        text = f"{_ENDS[status]} {session.region.local(session.now + view.minutes_left * 60)}"
    return [f"{licence.naming.name}:", f"    {text}"]


def _ids(session: Session, view: View, older: bool) -> list[str]:
    licence = view.licence
    return [
        f"Activation ID: {licence.act_id}",
        f"Application ID: {licence.product.app_id}",
        f"Extended PID: {view.product_id if licence.partial_key is not None else ''}",
        *([] if older else [f"Product Key Channel: {CHANNEL if licence.partial_key is not None else ''}"]),
        f"Installation ID: {view.installation_id(session.key)}",
    ]


def _status(view: View, older: bool) -> list[str]:
    status, minutes = view.status, view.minutes_left
    lines = [f"License Status: {STATUS_WORDS[status]}{_STATUS_ADDS.get(status, '')}"]
    days = minutes // MINUTES_A_DAY if older else -(-minutes // MINUTES_A_DAY)
    left = f"{minutes} minute(s) ({days} day(s))"
    if status is LicenseStatus.LICENSED and minutes:
        lines.append(f"Volume activation expiration: {left}")
    elif status in _GRACES:
        lines.append(f"Time remaining: {left}")
    elif status is LicenseStatus.NOTIFICATION:
        lines.append(f"Notification Reason: 0x{view.reason:08X}{_WHY_NOTIFIED.get(view.reason, '.')}")
    return lines


def _rearms(session: Session, licence: Licence, older: bool) -> list[str]:
    machine = session.machine
    if licence.is_windows or older:
        lines = [f"Remaining Windows rearm count: {machine.rearms_left}"]
    else:
        lines = [f"Remaining App rearm count: {machine.app_rearms_left(licence.product.app_id)}"]
    if not older:
        lines.append(f"Remaining SKU rearm count: {licence.rearms_left}")
    return [*lines, f"Trusted time: {session.region.local(session.now)}"]


def _kms(view: View, older: bool) -> list[str]:
    """The lines about KMS, which a client has once it is licensed."""
    machine, licence, client = view.machine, view.licence, view.licence.client
    by_hand, domain, found = view.by_hand, machine.lookup_domain_of(licence), view.found
    lines = [
        "",
        *([] if older else ["Most recent activation information:"]),
        "Key Management Service client information",
    ]
    lines.append(f"    Client Machine ID (CMID): {machine.cmid}")
    if domain is not None and not older:
        lines.append(f"    Registered KMS SRV record lookup domain: {domain}")
    if by_hand is not None:
        lines.append(f"    Registered KMS machine name: {_written(by_hand)}")
    elif found is not None:
        lines.append(f"    KMS machine name from DNS: {_written(found)}")
    else:
        lines.append("    DNS auto-discovery: KMS name not available")
    if not older:
        lines.append(f"    KMS machine IP address: {licence.host_address or 'not available'}")
    lines += [
        f"    KMS machine extended PID: {client.host_id or ''}",
        f"    Activation interval: {client.activation_interval} minutes",
        f"    Renewal interval: {client.renewal_interval} minutes",
        f"    KMS host caching is {'enabled' if machine.caching else 'disabled'}",
    ]
    if domain is not None and by_hand is not None and not older:
        lines += ["", OVERRIDES.format(_written(by_hand))]
    return lines


OVERRIDES = "Warning: /skms setting overrides the /skms-domain setting. {} will be used for activation."


def _written(host: HostPort) -> str:
    return str(HostPort(host.host, host.port or DEFAULT_PORT))
