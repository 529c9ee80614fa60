"""What ospp /dstatus and similar options print about licences and events, line for line as ospp.vbs does."""

from __future__ import annotations

from datetime import UTC, datetime

from kmstwist.addresses import DEFAULT_PORT, HostPort
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.events import ACQUISITION_FAILED, REQUEST_SENT, MachineEvent
from kmstwist.lab.machines.machine import Licence
from kmstwist.lab.machines.regions import DEFAULT, Region
from kmstwist.lab.machines.session import Session
from kmstwist.lab.machines.view import View
from kmstwist.lab.ospp.texts import RULE, article_lines, description

MINUTES_A_DAY = 1440
ACT_TYPES = {1: "AD", 2: "KMS", 3: "Token"}
_STATUS = {
    LicenseStatus.UNLICENSED: "---UNLICENSED---",
    LicenseStatus.LICENSED: "---LICENSED---",
    LicenseStatus.OOB_GRACE: "---OOB_GRACE---",
    LicenseStatus.OOT_GRACE: "---OOT_GRACE---",
    LicenseStatus.NON_GENUINE_GRACE: "---NON_GENUINE_GRACE---",
    LicenseStatus.NOTIFICATION: "---NOTIFICATIONS---",
    LicenseStatus.EXTENDED_GRACE: "---EXTENDED GRACE---",
}
_NO_EXPIRY = datetime(1601, 1, 1, tzinfo=UTC)
_NO_EXPIRY_TEXT = "1601/1/1"
"""How a licence that is not a beta's shows its end; posted outputs have it so, and in other regions' forms."""
_INFORMATION_ONLY = " (for information purposes only as the status is licensed)"


def names(licence: Licence) -> list[str]:
    """The lines that name a product."""
    return [
        f"SKU ID: {licence.act_id}",
        f"LICENSE NAME: {licence.naming.name}",
        f"LICENSE DESCRIPTION: {licence.naming.description}",
    ]


def status(session: Session, licence: Licence) -> list[str]:
    """The lines of a licence in /dstatus and /dstatusall."""
    view = View(session.machine, licence, session.now)
    state, reason, minutes = view.status, view.reason, view.minutes_left
    lines = [f"PRODUCT ID: {view.product_id}"] if licence.partial_key is not None else []
    lines += [*names(licence), f"BETA EXPIRATION: {_beta(session.region)}", f"LICENSE STATUS:  {_STATUS[state]} "]
    lines += [
        f"ERROR CODE: 0x{reason:08X}{_INFORMATION_ONLY if state is LicenseStatus.LICENSED else ''}",
        f"ERROR DESCRIPTION: {description(reason)}",
    ]
    if minutes:
        lines.append(f"REMAINING GRACE: {minutes // MINUTES_A_DAY} days  ({minutes} minute(s) before expiring)")
    if licence.partial_key is None:
        return lines
    lines.append(f"Last 5 characters of installed product key: {licence.partial_key}")
    return [*lines, *_kms(session, view)]


def _beta(region: Region) -> str:
    return _NO_EXPIRY_TEXT if region.name == DEFAULT else region.date(_NO_EXPIRY)


def _kms(session: Session, view: View) -> list[str]:
    machine, licence, client = session.machine, view.licence, view.licence.client
    lines = []
    if not machine.windows.before_windows_8:
        lines.append(f"Activation Type Configuration: {ACT_TYPES.get(machine.act_type_of(licence), 'ALL')}")
    if view.found is not None:
        lines.append(f"\tKMS machine name from DNS: {_written(view.found)}")
    else:
        lines.append("\tDNS auto-discovery: KMS name not available")
    if view.by_hand is not None:
        lines.append(f"\tKMS machine registry override defined: {_written(view.by_hand)}")
    lines += [
        f"\tActivation Interval: {client.activation_interval} minutes",
        f"\tRenewal Interval: {client.renewal_interval} minutes",
        f"\tKMS host caching: {'Enabled' if machine.caching else 'Disabled'}",
    ]
    domain = machine.lookup_domain_of(licence)
    if domain is not None and not machine.windows.before_windows_8:
        lines.append(f"\tKMS Lookup Domain: {domain}")
    return lines


def kms_history(session: Session) -> list[str]:
    """The lines of /dhistorykms: requests with Office's count of 5, the newest first."""
    events = [event for event in reversed(session.history()) if event.number == REQUEST_SENT]
    lines = [f"Searching for KMS activation events on machine: {session.machine.name}", "Event ID: 12288", ""]
    if not events:
        return [*lines, RULE, f"No KMS activation events found on machine: {session.machine.name}", RULE]
    for event in events:
        # The script looks for requests that ask for a count of 5 and takes them for Office's.
        if event.fields[-1] == "5":
            lines += [*_request(session.region, event), RULE]
    return lines


def _request(region: Region, event: MachineEvent) -> list[str]:
    code, flags, target = event.fields[:3]
    # What the script prints ends at the first colon, behind the host's name.
    host = f"{code}, {flags}, {target.partition(':')[0]}"
    number = int(code, 16)
    lines = [_written_at(region, event), f"ERROR/HOST: {host}"]
    if number == 0:
        return [*lines, "ERROR DESCRIPTION: N/A"]
    return [*lines, f"ERROR DESCRIPTION: {description(number)}", *article_lines(number)]


def failure_history(session: Session) -> list[str]:
    """The lines of /dhistoryacterr: activations that failed at Microsoft's server, the newest first."""
    lines = [
        f"Searching for Internet activation failure events on machine: {session.machine.name}",
        f"Event ID: {ACQUISITION_FAILED}",
        "",
    ]
    events = [event for event in reversed(session.history()) if event.number == ACQUISITION_FAILED]
    if not events:
        return [*lines, RULE, f"No failure events found on machine: {session.machine.name}", RULE]
    for event in events:
        message = event.text.replace("\n", "")
        lines += [_written_at(session.region, event), f"MESSAGE: {message}"]
        lines += [f"ERROR DESCRIPTION: {description(int(event.info, 16))}", RULE]
    return lines


def _written_at(region: Region, event: MachineEvent) -> str:
    return f"Coordinated Universal Time Written: {region.text(datetime.fromtimestamp(int(event.at), UTC))}"


def _written(host: HostPort) -> str:
    return str(HostPort(host.host, host.port or DEFAULT_PORT))
