"""slmgr's options on a lab machine: what each does, and what it prints. Failures are `Published` or `Refused`."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from kmstwist.addresses import DEFAULT_PORT, AddressError, HostPort, parse_host_port
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.machines import phone
from kmstwist.lab.machines.activation import activate
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.machine import MACHINE, KmsSettings, Licence, unlicense
from kmstwist.lab.machines.session import Session, client_key, dns_domain, find_act_id, read_licence_file
from kmstwist.lab.slmgr import show
from kmstwist.lab.slmgr.options import Option

RESTART = "Please restart the system for the changes to take effect."
DONE = "Command completed successfully."
NOT_A_HOST = "This machine is no KMS host; the lab host's name is `host` (kmstwist lab slmgr host {option})."


async def run(session: Session, option: Option, arguments: list[str]) -> list[str]:
    """Carry an option out on the session's machine; the lines to print."""
    if option.host_only:
        raise Published(Status.SL_E_VL_BINDING_SERVICE_NOT_ENABLED, NOT_A_HOST.format(option="/" + option.name))
    if option.name == "ato":
        return await _ato(session, arguments)
    return _COMMANDS[option.name](session, arguments)


def windows_or(session: Session, arguments: list[str], at: int = 0) -> Licence:
    """The licence of the activation id given, else that of Windows itself: of the edition that has the key."""
    if len(arguments) > at:
        return find_act_id(session.machine, arguments[at])
    of_windows = [licence for licence in session.machine.licences if licence.is_windows]
    if of_windows:
        return next((licence for licence in of_windows if licence.partial_key is not None), of_windows[0])
    raise Refused("Product not found. This machine has no Windows; give the ActID of a product (/dlv All shows them).")


def _ipk(session: Session, arguments: list[str]) -> list[str]:
    product = client_key(arguments[0], session.key)
    for licence in session.machine.licences:
        if licence.product == product:
            session.machine.install_key(licence, session.now)
            return [f"Installed product key {product.gvlk} successfully."]
    raise Published(
        Status.SL_E_MISMATCHED_PRODUCT_SKU, f"The key is for {product.name}, which this machine does not have."
    )


async def _ato(session: Session, arguments: list[str]) -> list[str]:
    licence = windows_or(session, arguments)
    begun = f"Activating {licence.product.name} ({licence.act_id}) ..."
    try:
        await activate(session.machine, licence, session.asking)
    except Published as error:
        error.before = (begun,)
        raise
    return [begun, "Product activated successfully."]


def _dli(session: Session, arguments: list[str]) -> list[str]:
    return _shown(session, arguments, show.brief)


def _dlv(session: Session, arguments: list[str]) -> list[str]:
    return _shown(session, arguments, show.detailed)


def _shown(session: Session, arguments: list[str], how: Callable[[Session, Licence], list[str]]) -> list[str]:
    if arguments and arguments[0].lower() == "all":
        if not session.machine.licences:
            raise Refused("Product not found. This machine has no product.")
        chosen = session.machine.licences
    else:
        chosen = [windows_or(session, arguments)]
    lines = [f"Software licensing service version: {show.SERVICE_VERSION}"] if how is show.detailed else []
    for licence in chosen:
        lines += ["", *how(session, licence)] if lines else how(session, licence)
    return lines


def _xpr(session: Session, arguments: list[str]) -> list[str]:
    licence = windows_or(session, arguments)
    return [f"{licence.product.name}:", f"    {show.expiration(session, licence)}"]


def _cpky(session: Session, arguments: list[str]) -> list[str]:
    session.machine.key_in_registry = False
    return ["Product key from registry cleared successfully."]


def _ilc(session: Session, arguments: list[str]) -> list[str]:
    for product in read_licence_file(arguments[0]):
        if all(licence.product != product for licence in session.machine.licences):
            session.machine.add_product(product, session.now)
    return [f"License file {arguments[0]} installed successfully."]


def _rilc(session: Session, arguments: list[str]) -> list[str]:
    if not session.machine.licences:
        raise Refused("This machine has no licence to reinstall; /ilc FILE installs one.")
    lines = ["Re-installing license files ..."]
    lines += [f"  {licence.product.name}" for licence in session.machine.licences]
    return [*lines, "License files re-installed successfully."]


def _rearm(session: Session, arguments: list[str]) -> list[str]:
    return _rearm_windows(session)


def _rearm_app(session: Session, arguments: list[str]) -> list[str]:
    app_id = _uuid(arguments[0], "application id")
    machine = session.machine
    concerned = [licence for licence in machine.licences if licence.product.app_id == app_id]
    if not concerned:
        known = ", ".join(f"{app} ({name})" for app, name in APPLICATION_NAMES.items())
        raise Refused(f"Product not found. No product here belongs to application {app_id}; there are: {known}.")
    if concerned[0].is_windows:
        return _rearm_windows(session)
    for licence in concerned:
        _count_rearm(licence)
    machine.rearm(concerned, session.new_cmid(), session.now)
    return [DONE, RESTART]


def _rearm_sku(session: Session, arguments: list[str]) -> list[str]:
    licence = find_act_id(session.machine, arguments[0])
    _count_rearm(licence)
    session.machine.rearm([licence], session.new_cmid(), session.now)
    return [DONE, RESTART]


def _rearm_windows(session: Session) -> list[str]:
    machine = session.machine
    if machine.rearms_left < 1:
        raise Published(TOO_MANY_REARMS)
    machine.rearms_left -= 1
    concerned = [licence for licence in machine.licences if licence.is_windows]
    machine.rearm(concerned, session.new_cmid(), session.now)
    return [DONE, RESTART]


def _count_rearm(licence: Licence) -> None:
    if licence.rearms_left < 1:
        raise Published(TOO_MANY_REARMS)
    licence.rearms_left -= 1


def _upk(session: Session, arguments: list[str]) -> list[str]:
    licence = windows_or(session, arguments)
    _need_key(licence)
    unlicense(licence)
    return ["Uninstalled product key successfully."]


def _dti(session: Session, arguments: list[str]) -> list[str]:
    licence = windows_or(session, arguments)
    _need_key(licence)
    return [
        f"Installation ID: {phone.installation_id(session.key, session.machine, licence)}",
        "",
        "The lab's telephone is the command: kmstwist lab confirm INSTALLATION-ID",
    ]


def _atp(session: Session, arguments: list[str]) -> list[str]:
    licence = windows_or(session, arguments, 1)
    activate_by_phone(session, licence, arguments[0])
    return [f"Confirmation ID for product {licence.act_id} deposited successfully."]


def activate_by_phone(session: Session, licence: Licence, confirmation: str) -> None:
    """Activate for good with a confirmation id; raises `Published`."""
    _need_key(licence)
    phone.check_confirmation(session.key, session.machine, licence, confirmation)
    licence.client.status = LicenseStatus.LICENSED
    licence.client.expires = None
    licence.by_phone = True


def _skms(session: Session, arguments: list[str]) -> list[str]:
    settings = _scope(session, arguments)
    text = arguments[0]
    try:
        if text.startswith(":"):
            settings.port = parse_host_port(f"any{text}").port
        else:
            # No port that can be written is 0: it stands for none.
            address = parse_host_port(text, 0)
            settings.host = address.host
            settings.port = address.port or None
    except AddressError as error:
        raise Refused(str(error).replace("any:", ":") + ".") from None
    return [f"Key Management Service machine name set to {text} successfully.", *_overridden(session, settings)]


def _skms_domain(session: Session, arguments: list[str]) -> list[str]:
    settings = _scope(session, arguments)
    settings.lookup_domain = dns_domain(arguments[0])
    return [
        f"Key Management Service lookup domain set to {settings.lookup_domain} successfully.",
        *_overridden(session, settings),
    ]


def _ckms_domain(session: Session, arguments: list[str]) -> list[str]:
    settings = _scope(session, ["", *arguments])
    settings.lookup_domain = None
    lines = ["Key Management Service lookup domain cleared successfully."]
    host = _host(session, settings)
    if host is not None:
        lines.append(f"Warning: /skms setting is in effect. {host} will be used for activation.")
    return lines


def _ckms(session: Session, arguments: list[str]) -> list[str]:
    settings = _scope(session, ["", *arguments])
    settings.host = settings.port = None
    lines = ["Key Management Service machine name cleared successfully."]
    domain = settings.lookup_domain or session.machine.scope(MACHINE).lookup_domain
    if domain is not None:
        lines.append(f"Warning: /skms-domain setting is in effect. {domain} will be used for DNS SRV record lookup.")
    return lines


def _skhc(session: Session, arguments: list[str]) -> list[str]:
    session.machine.caching = True
    return ["KMS host caching is enabled"]


def _ckhc(session: Session, arguments: list[str]) -> list[str]:
    session.machine.caching = False
    session.machine.cached = None
    return ["KMS host caching is disabled"]


def _act_type(session: Session, arguments: list[str]) -> list[str]:
    if arguments and arguments[0] not in ("0", "1", "2", "3"):
        raise Refused(f"'{arguments[0]}' is no activation type: 0 any, 1 Active Directory, 2 KMS, 3 token.")
    settings = _scope(session, arguments or [""])
    settings.act_type = int(arguments[0]) if arguments else None
    return ["Volume activation type set successfully."]


def _scope(session: Session, arguments: list[str]) -> KmsSettings:
    """The settings that a command changes: those of the activation id in the second place, else the machine's."""
    if len(arguments) > 1:
        return session.machine.scope(str(find_act_id(session.machine, arguments[1]).act_id))
    return session.machine.scope(MACHINE)


def _host(session: Session, settings: KmsSettings) -> str | None:
    """The host set by hand that these settings come to, as slmgr writes it."""
    set_in = settings if settings.host is not None else session.machine.scope(MACHINE)
    return None if set_in.host is None else str(HostPort(set_in.host, set_in.port or DEFAULT_PORT))


def _overridden(session: Session, settings: KmsSettings) -> list[str]:
    """The warning where both a host and a lookup domain are set."""
    host = _host(session, settings)
    if host is None or (settings.lookup_domain or session.machine.scope(MACHINE).lookup_domain) is None:
        return []
    return [f"Warning: /skms setting overrides the /skms-domain setting. {host} will be used for activation."]


def _need_key(licence: Licence) -> None:
    if licence.partial_key is None:
        raise Published(Status.SL_E_PKEY_NOT_INSTALLED)


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused(f"'{text}' is no {what}; it has the form 55c92734-d682-4d71-983e-d6ec3f16059f.") from None


_COMMANDS: dict[str, Callable[[Session, list[str]], list[str]]] = {
    "ipk": _ipk,
    "dli": _dli,
    "dlv": _dlv,
    "xpr": _xpr,
    "cpky": _cpky,
    "ilc": _ilc,
    "rilc": _rilc,
    "rearm": _rearm,
    "rearm-app": _rearm_app,
    "rearm-sku": _rearm_sku,
    "upk": _upk,
    "dti": _dti,
    "atp": _atp,
    "skms": _skms,
    "skms-domain": _skms_domain,
    "ckms": _ckms,
    "ckms-domain": _ckms_domain,
    "skhc": _skhc,
    "ckhc": _ckhc,
    "act-type": _act_type,
}
