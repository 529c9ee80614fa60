"""ospp's options on a lab machine: what each does to its Office products, and what it prints.

ospp always ends with 0, whatever failed. What it shows in a message box on Windows is a note here.
"""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.kms.status import explain, parse_code
from kmstwist.lab.machines import phone
from kmstwist.lab.machines.errors import TOO_MANY_REARMS, Published, Refused
from kmstwist.lab.machines.machine import unlicense
from kmstwist.lab.machines.session import Output, Session, client_key, noted, read_act_id
from kmstwist.lab.ospp import services, set_host, show
from kmstwist.lab.ospp.licences import office_products
from kmstwist.lab.ospp.options import Option
from kmstwist.lab.ospp.texts import (
    BEGIN,
    END,
    NO_KEYS,
    RULE,
    article_lines,
    error_lines,
)

_ATTEMPT = "Installed product key detected - attempting to activate the following product:"
_LICENCE_FILE = ".xrm-ms"


def asks_a_host(option: Option) -> bool:
    """Whether an option makes the machine ask a KMS host; all others are done at once."""
    return option.name == "act"


async def run(session: Session, option: Option, value: str) -> Output:
    """Carry an option out on the session's machine."""
    output = Output(list(BEGIN))
    try:
        if asks_a_host(option):
            await _act(session, output)
        else:
            _COMMANDS[option.name](session, value, output)
    except Published as error:
        _fail(error, output)
    output.lines += END
    return output


def _fail(error: Published, output: Output) -> None:
    output.lines += error_lines(error.code)
    output.notes += noted(error)


async def _act(session: Session, output: Output) -> None:
    if not session.office():
        output.lines += [NO_KEYS, RULE]
    for licence in session.office():
        output.lines += [_ATTEMPT, *show.names(licence)]
        output.lines.append(f"Last 5 characters of installed product key: {licence.partial_key}")
        try:
            await session.activate(session.machine, licence)
        except Published as error:
            _fail(error, output)
            output.lines += article_lines(error.code)
        else:
            output.lines.append("<Product activation successful>")
        output.lines.append(RULE)


def _inpkey(session: Session, value: str, output: Output) -> None:
    product = client_key(value, session.key)
    for licence in session.office(with_key=False):
        if licence.product == product:
            session.machine.install_key(licence, session.now)
            output.lines.append("<Product key installation successful>")
            return
    raise Published(0xC004F069, f"The key is for {product.name}, which this machine's Office does not have.")


def _unpkey(session: Session, value: str, output: Output) -> None:
    if session.office() and len(value) != 5:
        output.notes.append(
            "The last 5 characters of an installed product key are required to run this option. Run the /dstatus "
            "option to display the partial product key."
        )
        return
    for licence in session.office():
        if licence.partial_key == value.upper():
            output.lines += [
                f"Uninstalling product key for: {licence.naming.name}",
                "<Product key uninstall successful>",
            ]
            unlicense(licence)
            return
    output.lines.append("<Product key not found>")


def _inslic(session: Session, value: str, output: Output) -> None:
    if not value.lower().endswith(_LICENCE_FILE):
        output.notes.append("Unrecognized file. Office licenses have an .xrm-ms file extension.")
        return
    try:
        products = office_products(value)
    except Refused as error:
        output.notes.append(str(error))
        return
    for product in products:
        if all(licence.product != product for licence in session.machine.licences):
            session.machine.add_product(product, session.now)
    # The script converts its whole command line to small letters.
    output.lines += [f"Installing Office license: {value.lower()}", "Office license installed successfully."]


def _dstatus(session: Session, value: str, output: Output) -> None:
    for licence in session.office():
        output.lines += [*show.status(session, licence), RULE]
    if not session.office():
        output.lines += [NO_KEYS, RULE]


def _dstatusall(session: Session, value: str, output: Output) -> None:
    for licence in session.office(with_key=False):
        output.lines += [*show.status(session, licence), RULE]
    if not session.office():
        output.lines += [NO_KEYS, RULE]


def _dhistoryacterr(session: Session, value: str, output: Output) -> None:
    output.lines += show.failure_history(session)


def _dhistorykms(session: Session, value: str, output: Output) -> None:
    output.lines += show.kms_history(session)


def _dinstid(session: Session, value: str, output: Output) -> None:
    for licence in session.office():
        number = phone.installation_id(session.key, session.machine, licence)
        output.lines += [f"Installation ID for: {licence.naming.name}: {number}", RULE]
    if not session.office():
        output.lines += [NO_KEYS, RULE]
    else:
        output.notes.append("The lab's telephone is the command: kmstwist lab confirm INSTALLATION-ID")


def _actcid(session: Session, value: str, output: Output) -> None:
    if not session.office():
        output.lines += [NO_KEYS, RULE]
    told = False
    for licence in session.office():
        try:
            phone.deposit(session.key, session.machine, licence, value)
        except Published as error:
            output.lines.append(f"LICENSE NAME: {licence.naming.name}")
            _fail(error, output)
        else:
            if not told:
                output.lines += [f"LICENSE NAME: {licence.naming.name}", "<Offline product activation successful>"]
            told = True
        output.lines.append(RULE)


def _rearm(session: Session, value: str, output: Output) -> None:
    licences = session.office()
    if value:
        licences = [licence for licence in licences if str(licence.act_id) == read_act_id(value)]
        if not licences:
            output.notes.append(f"No installed key belongs to SKU ID {value}; /dstatus shows the SKU IDs.")
            return
    if not licences:
        output.lines += [NO_KEYS, RULE]
        return
    if any(licence.rearms_left < 1 for licence in licences):
        raise Published(TOO_MANY_REARMS)
    for licence in licences:
        licence.rearms_left -= 1
    session.machine.rearm(licences, session.new_cmid(), session.now)
    output.lines.append("Microsoft Office rearm successful.")


def _ddescr(session: Session, value: str, output: Output) -> None:
    if not value.lower().startswith("0x"):
        output.lines.append("An error code must start with '0x'. Example: 0xC004F009")
        return
    try:
        code = parse_code(value)
    except ValueError as error:
        output.notes.append(f"{error}.")
        return
    # On Windows a message box shows it.
    known = explain(code)
    output.notes.append(f"0x{code:08X}: {known.text if known else 'no description is published for this code.'}")
    if known and known.cure:
        output.notes.append(f"Cure: {known.cure}.")


def _dcmid(session: Session, value: str, output: Output) -> None:
    output.lines.append(f"Client Machine ID (CMID): {session.machine.cmid}")


_COMMANDS: dict[str, Callable[[Session, str, Output], None]] = {
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
    **set_host.COMMANDS,
    **services.COMMANDS,
}
