"""slmgr's options on a lab machine: what each does, and what it prints.

slmgr reports a failure on its standard output, and the script ends with the failure's code. If it finds no product or
key it says so and ends successfully, as on Windows.
"""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.status import Status
from kmstwist.lab.machines import phone
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.machine import Licence, unlicense
from kmstwist.lab.machines.session import (
    Output,
    Session,
    client_key,
    find_act_id,
    known_act_ids,
    noted,
    read_licence_file,
)
from kmstwist.lab.slmgr import active_directory, set_host, show
from kmstwist.lab.slmgr.options import Option
from kmstwist.lab.slmgr.texts import FILE_NOT_OPENED, error_line

PRODUCT_NOT_FOUND = "Error: product not found."
KEY_NOT_FOUND = "Error: product key not found."
_ACTIVATED = "Product activated successfully."
_CERTIFICATE_ONLY = (
    "This system is configured for Token-based activation only. Use slmgr.vbs /fta to initiate Token-based activation, "
    "or slmgr.vbs /act-type to change the activation type setting."
)
_NOT_GENUINE_GRACE = (
    "Error: The machine is running within the non-genuine grace period. Run 'slui.exe' to go online and make the "
    "machine genuine."
)
_NOT_GENUINE = (
    "Error: Windows is running within the non-genuine notification period. Run 'slui.exe' to go online and validate "
    "Windows."
)
_DONE = "Command completed successfully."
_RESTART = "Please restart the system for the changes to take effect."
_RESTARTED = "Rearming takes effect at once in the lab; Windows does it at its next start."
_TOKENS_FOLDER = r"C:\Windows\system32\spp\tokens\skus"
_TOKEN_TYPE = 3
_NOT_A_HOST = {
    "sai": "Warning: Volume activation interval can only be set on a KMS machine that is also activated.",
    "sri": "Warning: Volume renewal interval can only be set on a KMS machine that is also activated.",
    "sprt": "Warning: KMS port can only be set on a KMS machine that is also activated.",
    "sdns": "Warning: DNS Publishing can only be set on a KMS machine that is also activated.",
    "cdns": "Warning: DNS Publishing can only be set on a KMS machine that is also activated.",
    "spri": "Warning: Priority can only be set on a KMS machine that is also activated.",
    "cpri": "Warning: Priority can only be set on a KMS machine that is also activated.",
}


def asks_a_host(option: Option) -> bool:
    """Whether an option makes the machine ask a KMS host; all others are done at once."""
    return option.name == "ato"


async def run(session: Session, option: Option, arguments: list[str]) -> Output:
    """Carry an option out on the session's machine."""
    output = Output()
    try:
        if option.host_only:
            if option.name in ("sai", "sri") and arguments[0].startswith("-"):
                output.lines.append("Error: The data is invalid")
            else:
                output.lines.append(_NOT_A_HOST[option.name])
                output.notes.append(f"The lab host's name is host: kmstwist lab slmgr host /{option.name}")
        elif asks_a_host(option):
            await _ato(session, arguments, output)
        else:
            _COMMANDS[option.name](session, arguments, output)
    except Published as error:
        output.code = error.code
        output.lines.append(error_line(error.code))
        output.notes += noted(error)
    return output


def chosen(session: Session, arguments: list[str], at: int = 0) -> Licence | None:
    """The licence that a command is about: by its activation id, else Windows' own; None if it has no key."""
    if len(arguments) > at:
        licence = find_act_id(session.machine, arguments[at])
        return licence if licence is not None and licence.partial_key is not None else None
    of_windows = [licence for licence in session.machine.licences if licence.is_windows]
    return next((licence for licence in of_windows if licence.partial_key is not None), None)


def _ipk(session: Session, arguments: list[str], output: Output) -> None:
    product = client_key(arguments[0], session.key)
    for licence in session.machine.licences:
        if licence.product == product:
            session.machine.install_key(licence, session.now)
            output.lines.append(f"Installed product key {arguments[0]} successfully.")
            return
    raise Published(
        Status.SL_E_MISMATCHED_PRODUCT_SKU, f"The key is for {product.name}, which this machine does not have."
    )


async def _ato(session: Session, arguments: list[str], output: Output) -> None:
    licence = chosen(session, arguments)
    if licence is None:
        _nothing(session, PRODUCT_NOT_FOUND, output)
        return
    if session.machine.act_type_of(licence) == _TOKEN_TYPE:
        output.lines.append(_CERTIFICATE_ONLY)
        return
    output.lines.append(f"Activating {licence.naming.name} ({licence.act_id}) ...")
    outcome = await session.activate(session.machine, licence)
    if outcome.status is LicenseStatus.NON_GENUINE_GRACE:
        output.lines.append(_NOT_GENUINE_GRACE)
    elif outcome.status is LicenseStatus.NOTIFICATION:
        output.lines.append(_NOT_GENUINE)
    else:
        output.lines.append(_ACTIVATED)


def _nothing(session: Session, line: str, output: Output) -> None:
    """What slmgr prints if it finds no product or no key."""
    output.lines.append(line)
    output.notes.append(known_act_ids(session.machine))


def _dli(session: Session, arguments: list[str], output: Output) -> None:
    _show(session, arguments, output, detailed=False)


def _dlv(session: Session, arguments: list[str], output: Output) -> None:
    output.lines.append(f"Software licensing service version: {session.machine.windows.version}")
    _show(session, arguments, output, detailed=True)


def _show(session: Session, arguments: list[str], output: Output, *, detailed: bool) -> None:
    if arguments and arguments[0].lower() != "all":
        licence = find_act_id(session.machine, arguments[0])
        if licence is None:
            _nothing(session, KEY_NOT_FOUND, output)
        else:
            output.lines += show.shown(session, licence, detailed=detailed)
        return
    wanted = session.machine.licences if arguments else [one for one in [chosen(session, [])] if one is not None]
    for licence in wanted:
        output.lines += [*show.shown(session, licence, detailed=detailed), ""]
    if not wanted:
        _nothing(session, KEY_NOT_FOUND, output)


def _xpr(session: Session, arguments: list[str], output: Output) -> None:
    licence = chosen(session, arguments)
    if licence is None:
        _nothing(session, KEY_NOT_FOUND, output)
    else:
        output.lines += show.expiration(session, licence)


def _cpky(session: Session, arguments: list[str], output: Output) -> None:
    session.machine.key_in_registry = False
    output.lines.append("Product key from registry cleared successfully.")


def _ilc(session: Session, arguments: list[str], output: Output) -> None:
    try:
        products = read_licence_file(arguments[0])
    except Refused as error:
        raise Published(FILE_NOT_OPENED, str(error)) from None
    for product in products:
        if all(licence.product != product for licence in session.machine.licences):
            session.machine.add_product(product, session.now)
    output.lines += [f"License file {arguments[0]} installed successfully.", ""]


def _rilc(session: Session, arguments: list[str], output: Output) -> None:
    output.lines.append("Re-installing license files ...")
    for licence in session.machine.licences:
        edition = licence.naming.edition
        file = rf"{_TOKENS_FOLDER}\{edition}\{edition}-Volume-GVLK-1-ul-rtm.xrm-ms"
        output.lines += [f"License file {file} installed successfully.", ""]
    output.lines.append("License files re-installed successfully.")


def _rearm(session: Session, arguments: list[str], output: Output) -> None:
    _rearm_windows(session)
    output.lines += [_DONE, _RESTART]
    output.notes.append(_RESTARTED)


def _rearm_app(session: Session, arguments: list[str], output: Output) -> None:
    machine = session.machine
    concerned = [licence for licence in machine.licences if str(licence.product.app_id) == arguments[0].lower()]
    if not concerned:
        raise Published(Status.E_INVALIDARG, f"No product of {machine.name} belongs to application {arguments[0]}.")
    if concerned[0].is_windows:
        _rearm_windows(session)
    else:
        for licence in concerned:
            _count_rearm(licence)
        machine.rearm(concerned, session.new_cmid(), session.now)
    output.lines.append(_DONE)
    output.notes.append(_RESTARTED)


def _rearm_sku(session: Session, arguments: list[str], output: Output) -> None:
    licence = find_act_id(session.machine, arguments[0])
    if licence is None:
        _nothing(session, PRODUCT_NOT_FOUND, output)
        return
    _count_rearm(licence)
    session.machine.rearm([licence], session.new_cmid(), session.now)
    output.lines.append(_DONE)
    output.notes.append(_RESTARTED)


def _rearm_windows(session: Session) -> None:
    machine = session.machine
    if machine.rearms_left < 1:
        raise Published(TOO_MANY_REARMS)
    machine.rearms_left -= 1
    concerned = [licence for licence in machine.licences if licence.is_windows]
    machine.rearm(concerned, session.new_cmid(), session.now)


def _count_rearm(licence: Licence) -> None:
    if licence.rearms_left < 1:
        raise Published(TOO_MANY_REARMS)
    licence.rearms_left -= 1


def _upk(session: Session, arguments: list[str], output: Output) -> None:
    licence = chosen(session, arguments)
    if licence is None:
        _nothing(session, KEY_NOT_FOUND, output)
        return
    unlicense(licence)
    output.lines.append("Uninstalled product key successfully.")


def _dti(session: Session, arguments: list[str], output: Output) -> None:
    licence = chosen(session, arguments)
    if licence is None:
        _nothing(session, PRODUCT_NOT_FOUND, output)
        return
    output.lines.append(f"Installation ID: {phone.installation_id(session.key, session.machine, licence)}")
    output.notes.append("The lab's telephone is the command: kmstwist lab confirm INSTALLATION-ID")


def _atp(session: Session, arguments: list[str], output: Output) -> None:
    licence = chosen(session, arguments, 1)
    if licence is None:
        _nothing(session, PRODUCT_NOT_FOUND, output)
        return
    phone.deposit(session.key, session.machine, licence, arguments[0])
    output.lines.append(f"Confirmation ID for product {licence.act_id} deposited successfully.")


_COMMANDS: dict[str, Callable[[Session, list[str], Output], None]] = {
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
    **set_host.COMMANDS,
    **active_directory.COMMANDS,
}
