"""What slmgr /dli, /dlv and /xpr print of a lab machine's licence, in slmgr's own shape."""

from __future__ import annotations

from kmstwist import __version__
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.machines.machine import Licence
from kmstwist.lab.machines.phone import installation_id
from kmstwist.lab.machines.session import Session, moment, product_id, remaining

SERVICE_VERSION = f"kmstwist lab {__version__}"
ACT_TYPES = {0: "All", 1: "AD", 2: "KMS", 3: "Token"}
STATUS_WORDS = {
    LicenseStatus.UNLICENSED: "Unlicensed",
    LicenseStatus.LICENSED: "Licensed",
    LicenseStatus.OOB_GRACE: "Initial grace period",
    LicenseStatus.OOT_GRACE: "Additional grace period (KMS license expired or hardware out of tolerance)",
    LicenseStatus.NON_GENUINE_GRACE: "Non-genuine grace period.",
    LicenseStatus.NOTIFICATION: "Notification",
    LicenseStatus.EXTENDED_GRACE: "Extended grace period",
}


def brief(session: Session, licence: Licence) -> list[str]:
    """The lines of /dli."""
    return [*_head(licence), *_status(session, licence), *_kms(session, licence)]


def detailed(session: Session, licence: Licence) -> list[str]:
    """The lines of /dlv."""
    lines = _head(licence)
    lines[2:2] = [
        f"Activation ID: {licence.act_id}",
        f"Application ID: {licence.product.app_id}",
        f"Extended PID: {product_id(licence)}",
        "Product Key Channel: Volume:GVLK",
    ]
    if licence.partial_key is not None:
        lines.insert(6, f"Installation ID: {installation_id(session.key, session.machine, licence)}")
    lines += _status(session, licence)
    lines += [
        f"Remaining Windows rearm count: {session.machine.rearms_left}",
        f"Remaining SKU rearm count: {licence.rearms_left}",
        f"Trusted time: {moment(session.now)}",
    ]
    if licence.partial_key is not None:
        lines.append(f"Configured Activation Type: {ACT_TYPES[session.machine.act_type_of(licence)]}")
    return [*lines, *_kms(session, licence)]


def expiration(session: Session, licence: Licence) -> str:
    """The line of /xpr."""
    client = licence.client
    status = client.advance(session.now)
    if status is LicenseStatus.LICENSED and client.expires is None:
        return "The machine is permanently activated."
    ends = moment(client.expires) if client.expires is not None else ""
    return {
        LicenseStatus.LICENSED: f"Volume activation will expire {ends}",
        LicenseStatus.OOB_GRACE: f"Initial grace period ends {ends}",
        LicenseStatus.OOT_GRACE: f"Additional grace period ends {ends}",
        LicenseStatus.NOTIFICATION: "Windows is in Notification mode",
    }.get(status, "Unlicensed")


def _head(licence: Licence) -> list[str]:
    family = {"Office": "Office"}.get(licence.product.family, "Windows(R)")
    lines = [
        f"Name: {licence.product.name}",
        f"Description: {family} Operating System, VOLUME_KMSCLIENT channel"
        if licence.is_windows
        else f"Description: {family}, VOLUME_KMSCLIENT channel",
    ]
    if licence.partial_key is None:
        return [*lines, "This license is not in use."]
    return [*lines, f"Partial Product Key: {licence.partial_key}"]


def _status(session: Session, licence: Licence) -> list[str]:
    client = licence.client
    status = client.advance(session.now)
    lines = [f"License Status: {STATUS_WORDS[status]}"]
    left = remaining(client.minutes_left(session.now))
    if status is LicenseStatus.LICENSED and client.expires is not None:
        lines.append(f"Volume activation expiration: {left}")
    elif status in (LicenseStatus.OOB_GRACE, LicenseStatus.OOT_GRACE):
        lines.append(f"Time remaining: {left}")
    elif status is LicenseStatus.NOTIFICATION:
        lines.append(f"Notification Reason: 0x{Status.SL_E_GRACE_TIME_EXPIRED:08X} (grace time expired).")
    return lines


def _kms(session: Session, licence: Licence) -> list[str]:
    """The client's KMS part, which is there once a key is."""
    if licence.partial_key is None or licence.by_phone:
        return []
    machine, client = session.machine, licence.client
    lines = ["", "Most recent activation information:", "Key Management Service client information"]
    lines.append(f"    Client Machine ID (CMID): {machine.cmid}")
    by_hand, domain, cached = machine.host_of(licence), machine.lookup_domain_of(licence), machine.cached
    if by_hand is not None:
        lines.append(f"    Registered KMS machine name: {by_hand}")
    else:
        if domain is not None:
            lines.append(f"    Registered KMS SRV record lookup domain: {domain}")
        if cached is not None:
            lines.append(f"    KMS machine name from DNS: {cached}")
        else:
            lines.append("    DNS auto-discovery: KMS name not available")
    if client.host_id is not None:
        lines.append(f"    KMS machine extended PID: {client.host_id}")
    return [
        *lines,
        f"    Activation interval: {client.activation_interval} minutes",
        f"    Renewal interval: {client.renewal_interval} minutes",
        f"    KMS host caching is {'enabled' if machine.caching else 'disabled'}",
    ]
