"""What a command on a lab machine has to work with, and the words both tools share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from kmstwist.addresses import is_address
from kmstwist.discovery.lookup.names import NameInvalid, domain
from kmstwist.kms.catalogue import Product, UnknownProduct, find, find_gvlk
from kmstwist.kms.status import Status
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import Asking
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.machines.machine import Licence, Machine

MINUTES_A_DAY = 1440
_KEY = re.compile(r"[A-Z0-9]{5}(-[A-Z0-9]{5}){4}")


@dataclass(slots=True)
class Session:
    """One command's surroundings. `history` gives the machine's events, the oldest first."""

    machine: Machine
    key: LabKey
    asking: Asking
    new_cmid: Callable[[], UUID]
    history: Callable[[], list[MachineEvent]]

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.asking.now()


def client_key(text: str, lab_key: LabKey) -> Product:
    """The product of a published client setup key. Raises `Published` or `Refused` for every other text.

    The lab takes no other keys: one that is not published may be somebody's own.
    """
    key = text.strip().upper()
    if key == lab_key.host_key:
        raise Refused("This is the lab's own host key: install it on the lab host (kmstwist lab slmgr host /ipk KEY).")
    if not _KEY.fullmatch(key):
        raise Published(
            Status.SL_E_INVALID_PRODUCT_KEY, "A product key is five groups of five letters and digits between hyphens."
        )
    product = find_gvlk(key)
    if product is None:
        raise Published(
            Status.SL_E_INVALID_PRODUCT_KEY,
            "The lab takes the published client setup keys only (kmstwist keys lists them). Type no key of your own.",
        )
    return product


def read_licence_file(path: str) -> list[Product]:
    """The products that a lab licence file names, one a line; `Refused` for what is none.

    Windows' licence files are Microsoft's and mean nothing here.
    """
    try:
        # Notepad may begin a file with a byte order mark.
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise Refused(f"There is no file {path}. A lab licence file has the name of a product on each line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"The file {path} cannot be read as text: {error}.") from None
    try:
        products = [find(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    except UnknownProduct as error:
        text = str(error)
        raise Refused(f"{path} is no lab licence file: {text if text.endswith('?') else text + '.'}") from None
    if not products:
        raise Refused(f"{path} names no product; a lab licence file has the name of a product on each line.")
    return products


def dns_domain(text: str) -> str:
    """A DNS domain to discover hosts in, as DNS has it; `Refused` for what is none."""
    if is_address(text.strip().rstrip(".")):
        raise Refused(f"'{text}' is no DNS domain, but an address; write a domain such as corp.example.")
    try:
        return domain(text)
    except NameInvalid as error:
        raise Refused(str(error)) from None


def read_act_id(text: str) -> str:
    """An activation id as it is compared: it may be written in braces and in any case."""
    return text.strip().strip("{}").lower()


def find_act_id(machine: Machine, text: str) -> Licence:
    """The licence of this activation id; `Refused` with slmgr's words for one the machine does not have."""
    for licence in machine.licences:
        if str(licence.act_id) == read_act_id(text):
            return licence
    known = ", ".join(f"{licence.act_id} ({licence.product.name})" for licence in machine.licences) or "none"
    raise Refused(f"Activation ID ({text}) not found. This machine has: {known}.")


def remaining(minutes: int, unit: str = "day") -> str:
    """Minutes left as the tools write them: `259200 minute(s) (180 day(s))`."""
    days = -(-minutes // MINUTES_A_DAY)
    return f"{minutes} minute(s) ({days} {unit}(s))"


def moment(seconds: float) -> str:
    """A moment as the tools write it, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%m/%d/%Y %H:%M:%S} UTC"


def product_id(licence: Licence) -> str:
    """The lab's product id, which says that it is the lab's."""
    return f"LAB-{str(licence.act_id).upper()[:13]}"
