"""ospp's options on a lab machine: what each does to its Office products, and what it prints.

ospp goes on after a product that fails, so its commands give what they print and the code of the first failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from kmstwist.addresses import AddressError, parse_host_port
from kmstwist.kms.catalogue import OFFICE
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status, explain, parse_code
from kmstwist.lab.machines.activation import activate
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.machine import KmsSettings, Licence, unlicense
from kmstwist.lab.machines.phone import installation_id
from kmstwist.lab.machines.session import (
    MINUTES_A_DAY,
    Session,
    client_key,
    dns_domain,
    moment,
    product_id,
    read_act_id,
    read_licence_file,
)
from kmstwist.lab.ospp.options import Option
from kmstwist.lab.slmgr.client import activate_by_phone
from kmstwist.lab.slmgr.show import ACT_TYPES

RULE = "-" * 39
BEGIN = ["---Processing--------------------------", RULE]
END = [RULE, "---Exiting-----------------------------"]
APPLIED = "Successfully applied setting."
NO_KEYS = "<No installed product keys detected>"
_STATUS = {
    LicenseStatus.UNLICENSED: "---UNLICENSED---",
    LicenseStatus.LICENSED: "---LICENSED---",
    LicenseStatus.OOB_GRACE: "---OOB_GRACE---",
    LicenseStatus.OOT_GRACE: "---OOT_GRACE---",
    LicenseStatus.NON_GENUINE_GRACE: "---NON_GENUINE_GRACE---",
    LicenseStatus.NOTIFICATION: "---NOTIFICATIONS---",
    LicenseStatus.EXTENDED_GRACE: "---EXTENDED GRACE---",
}


@dataclass(slots=True)
class Printed:
    """What a command printed; `failed` is the first code it failed with, if any."""

    lines: list[str] = field(default_factory=list)
    failed: int | None = None

    def error(self, error: Published) -> None:
        """Print a failure as ospp does and go on."""
        self.failed = self.failed or error.code
        self.lines += [f"ERROR CODE: 0x{error.code:08X}", f"ERROR DESCRIPTION: {error.description}"]
        if error.more:
            self.lines.append(f"LAB: {error.more}")


async def run(session: Session, option: Option, value: str) -> Printed:
    """Carry an option out on the session's machine. Raises `Refused` for what ospp would not take."""
    printed = Printed(list(BEGIN))
    try:
        if option.name == "act":
            await _act(session, printed)
        else:
            _COMMANDS[option.name](session, value, printed)
    except Published as error:
        printed.error(error)
    printed.lines += END
    return printed


def _office(session: Session, with_key: bool = True) -> list[Licence]:
    return [
        licence
        for licence in session.machine.licences
        if not licence.is_windows and (licence.partial_key is not None or not with_key)
    ]


async def _act(session: Session, printed: Printed) -> None:
    if not _office(session):
        printed.lines.append(NO_KEYS)
        return
    for licence in _office(session):
        printed.lines += [
            "Installed product key detected - attempting to activate the following product:",
            *_names(licence),
            f"Last 5 characters of installed product key: {licence.partial_key}",
        ]
        try:
            await activate(session.machine, licence, session.asking)
        except Published as error:
            printed.error(error)
            printed.lines.append(
                f"To view the activation event history run: kmstwist lab ospp {session.machine.name} /dhistorykms"
            )
        else:
            printed.lines.append("<Product activation successful>")
        printed.lines.append(RULE)


def _inpkey(session: Session, value: str, printed: Printed) -> None:
    product = client_key(value, session.key)
    for licence in _office(session, with_key=False):
        if licence.product == product:
            session.machine.install_key(licence, session.now)
            printed.lines.append("<Product key installation successful>")
            return
    raise Published(
        Status.SL_E_MISMATCHED_PRODUCT_SKU, f"The key is for {product.name}, which this machine's Office does not have."
    )


def _unpkey(session: Session, value: str, printed: Printed) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]{5}", value):
        raise Refused(f"'{value}' is not the last five characters of a key; /dstatus shows them.")
    for licence in _office(session):
        if licence.partial_key == value.upper():
            printed.lines += [
                f"Uninstalling product key for: {licence.product.name}",
                "<Product key uninstall successful>",
            ]
            unlicense(licence)
            return
    printed.lines.append("<Product key not found>")
    printed.failed = int(Status.SL_E_PKEY_NOT_INSTALLED)


def _inslic(session: Session, value: str, printed: Printed) -> None:
    for product in read_licence_file(value):
        if product.app_id != OFFICE:
            raise Refused(f"{product.name} is no Office product: slmgr /ilc installs its licence.")
        if all(licence.product != product for licence in session.machine.licences):
            session.machine.add_product(product, session.now)
    printed.lines.append(f"Office license installed successfully: {value}")


def _dstatus(session: Session, value: str, printed: Printed) -> None:
    _show(session, _office(session), printed)


def _dstatusall(session: Session, value: str, printed: Printed) -> None:
    _show(session, _office(session, with_key=False), printed)


def _show(session: Session, licences: list[Licence], printed: Printed) -> None:
    if not licences:
        printed.lines.append(NO_KEYS)
    for licence in licences:
        printed.lines += [*_status(session, licence), RULE]


def _dhistoryacterr(session: Session, value: str, printed: Printed) -> None:
    # There is nothing a lab machine could ever list: it has neither a MAK nor a retail key.
    printed.lines.append("<No MAK or Retail activation errors: a lab machine has KMS client keys only>")


def _dinstid(session: Session, value: str, printed: Printed) -> None:
    if not _office(session):
        printed.lines.append(NO_KEYS)
    for licence in _office(session):
        printed.lines += [
            f"Installation ID for: {licence.product.name}",
            installation_id(session.key, session.machine, licence),
            "The lab's telephone is the command: kmstwist lab confirm INSTALLATION-ID",
            RULE,
        ]


def _actcid(session: Session, value: str, printed: Printed) -> None:
    if not _office(session):
        raise Published(Status.SL_E_PKEY_NOT_INSTALLED)
    mismatch: Published | None = None
    for licence in _office(session):
        try:
            activate_by_phone(session, licence, value)
        except Published as error:
            if error.code != Status.SL_E_CIDIID_MISMATCHED:
                raise
            mismatch = error
        else:
            printed.lines += [*_names(licence), "<Product activation successful>"]
            return
    assert mismatch is not None
    raise mismatch


def _rearm(session: Session, value: str, printed: Printed) -> None:
    licences = _office(session)
    if value:
        licences = [licence for licence in licences if str(licence.act_id) == read_act_id(value)]
        if not licences:
            raise Refused(f"No installed key belongs to SKU ID {value}; /dstatus shows the SKU IDs.")
    if not licences:
        raise Published(Status.SL_E_PKEY_NOT_INSTALLED)
    if any(licence.rearms_left < 1 for licence in licences):
        raise Published(TOO_MANY_REARMS)
    for licence in licences:
        licence.rearms_left -= 1
    session.machine.rearm(licences, session.new_cmid(), session.now)
    printed.lines.append("<Office rearm successful>")


def _ddescr(session: Session, value: str, printed: Printed) -> None:
    try:
        code = parse_code(value)
    except ValueError as error:
        raise Refused(f"{error}.") from None
    known = explain(code)
    printed.lines.append(f"ERROR CODE: 0x{code:08X}")
    printed.lines.append(f"ERROR DESCRIPTION: {known.text if known else 'No description is published for this code.'}")
    if known:
        printed.lines.append(f"CURE: {known.cure}")


def _dhistorykms(session: Session, value: str, printed: Printed) -> None:
    office = {licence.product.name for licence in _office(session, with_key=False)}
    events = [event for event in session.history() if event.product in office]
    if not events:
        printed.lines.append("<No KMS activation history: no Office product has asked yet>")
    for event in events:
        printed.lines += [f"{moment(event.at)}  Event {event.number}  {event.product}", event.info]


def _dcmid(session: Session, value: str, printed: Printed) -> None:
    printed.lines.append(f"Client Machine ID (CMID): {session.machine.cmid}")


def _sethst(session: Session, value: str, printed: Printed) -> None:
    try:
        address = parse_host_port(value)
    except AddressError as error:
        raise Refused(f"{error}.") from None
    if value not in (address.host, f"[{address.host}]"):
        raise Refused(f"/sethst takes a name or an address; the port is set with /setprt:{address.port}.")
    _settings(session).host = address.host
    printed.lines.append(APPLIED)


def _setprt(session: Session, value: str, printed: Printed) -> None:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 65535):
        raise Refused(f"/setprt:{value}: a TCP port is a number from 1 to 65535.")
    _settings(session).port = int(value)
    printed.lines.append(APPLIED)


def _remhst(session: Session, value: str, printed: Printed) -> None:
    settings = _settings(session)
    settings.host = settings.port = None
    printed.lines.append(APPLIED)


def _cachst(session: Session, value: str, printed: Printed) -> None:
    if value.upper() not in ("TRUE", "FALSE"):
        raise Refused(f"/cachst:{value}: it is TRUE or FALSE.")
    session.machine.caching = value.upper() == "TRUE"
    if not session.machine.caching:
        session.machine.cached = None
    printed.lines.append(APPLIED)


def _actype(session: Session, value: str, printed: Printed) -> None:
    if value not in ("0", "1", "2"):
        raise Refused(f"/actype:{value}: it is 1 for Active Directory, 2 for KMS or 0 for both.")
    _settings(session).act_type = int(value)
    printed.lines.append(APPLIED)


def _skms_domain(session: Session, value: str, printed: Printed) -> None:
    _settings(session).lookup_domain = dns_domain(value)
    printed.lines.append(APPLIED)


def _ckms_domain(session: Session, value: str, printed: Printed) -> None:
    _settings(session).lookup_domain = None
    printed.lines.append(APPLIED)


def _settings(session: Session) -> KmsSettings:
    """ospp's settings are those of the application, Office, and leave Windows' alone."""
    return session.machine.scope(str(OFFICE))


def _names(licence: Licence) -> list[str]:
    return [
        f"SKU ID: {licence.act_id}",
        f"LICENSE NAME: {licence.product.name}",
        "LICENSE DESCRIPTION: Office, VOLUME_KMSCLIENT channel",
    ]


def _status(session: Session, licence: Licence) -> list[str]:
    machine, client = session.machine, licence.client
    status = client.advance(session.now)
    lines = [f"PRODUCT ID: {product_id(licence)}", *_names(licence), f"LICENSE STATUS:  {_STATUS[status]} "]
    if status is LicenseStatus.NOTIFICATION:
        code = Status.SL_E_GRACE_TIME_EXPIRED
        lines += [f"ERROR CODE: 0x{code:08X}", f"ERROR DESCRIPTION: {code.text}"]
    if client.expires is not None:
        minutes = client.minutes_left(session.now)
        days = -(-minutes // MINUTES_A_DAY)
        lines.append(f"REMAINING GRACE: {days} days  ({minutes} minute(s) before expiring)")
    if licence.partial_key is None:
        return lines
    lines.append(f"Last 5 characters of installed product key: {licence.partial_key}")
    lines.append(f"Activation Type Configuration: {ACT_TYPES[machine.act_type_of(licence)].upper()}")
    if licence.by_phone:
        return lines
    by_hand, domain = machine.host_of(licence), machine.lookup_domain_of(licence)
    found = machine.cached if by_hand is None else None
    lines.append(f"\tDNS auto-discovery: {found or 'KMS name not available'}")
    if by_hand is not None:
        lines.append(f"\tKMS machine registry override defined: {by_hand}")
    elif domain is not None:
        lines.append(f"\tKMS SRV record lookup domain: {domain}")
    return [
        *lines,
        f"\tActivation Interval: {client.activation_interval} minutes",
        f"\tRenewal Interval: {client.renewal_interval} minutes",
        f"\tKMS host caching: {'Enabled' if machine.caching else 'Disabled'}",
    ]


_COMMANDS: dict[str, Callable[[Session, str, Printed], None]] = {
    "inpkey": _inpkey,
    "unpkey": _unpkey,
    "inslic": _inslic,
    "dstatus": _dstatus,
    "dstatusall": _dstatusall,
    "dhistoryacterr": _dhistoryacterr,
    "dinstid": _dinstid,
    "actcid": _actcid,
    "rearm": _rearm,
    "ddescr": _ddescr,
    "dhistorykms": _dhistorykms,
    "dcmid": _dcmid,
    "sethst": _sethst,
    "setprt": _setprt,
    "remhst": _remhst,
    "cachst": _cachst,
    "actype": _actype,
    "skms-domain": _skms_domain,
    "ckms-domain": _ckms_domain,
}
