"""The input and output of a command on a lab machine, and functions that both tools share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from kmstwist.addresses import is_address
from kmstwist.discovery.lookup.dns_names import NameInvalid, domain
from kmstwist.kms.catalogue import Product, UnknownProduct, find, find_gvlk
from kmstwist.kms.status import Status
from kmstwist.lab.client import Outcome
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.events import MachineEvent
from kmstwist.lab.machines.machine import Licence, Machine
from kmstwist.lab.machines.regions import Region, region

MINUTES_A_DAY = 1440
_KEY = re.compile(r"[A-Z0-9]{5}(-[A-Z0-9]{5}){4}")


@dataclass(slots=True)
class Output:
    """A command's output: the `lines` that Windows prints, the lab's own `notes`, and the `code` with which the script
    ends on Windows (an HRESULT; 0 for success).
    """

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: int = 0


class Misused(Exception):
    """A command line that the tool does not accept; `output` is what it prints then."""

    def __init__(self, output: Output) -> None:
        super().__init__("\n".join([*output.lines[:1], *output.notes]))
        self.output = output


@dataclass(slots=True)
class Session:
    """What one command works with. `clock` returns Unix seconds; `activate` lets a licence of the machine ask a host,
    and raises `Published` if none grants it; `history` returns the machine's events, the oldest first; `shown_in` is
    the region for dates, by default the machine's own.
    """

    machine: Machine
    key: LabKey
    clock: Callable[[], float]
    activate: Callable[[Machine, Licence], Awaitable[Outcome]]
    new_cmid: Callable[[], UUID]
    history: Callable[[], list[MachineEvent]]
    shown_in: str | None = None

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.clock()

    def office(self, *, with_key: bool = True) -> list[Licence]:
        """The machine's Office licences: those with a key, or all."""
        licences = [licence for licence in self.machine.licences if not licence.is_windows]
        return [licence for licence in licences if licence.partial_key is not None or not with_key]

    @property
    def region(self) -> Region:
        """The region in whose form dates are printed; `Refused` for one that the lab does not know."""
        return region(self.shown_in or self.machine.region)


def client_key(text: str, lab_key: LabKey) -> Product:
    """The product of a published client setup key. Raises `Published` for every other text.

    The lab takes no other keys: one that is not published may be somebody's own.
    """
    key = text.strip().upper()
    if key == lab_key.host_key:
        raise Published(
            Status.SL_E_INVALID_PRODUCT_KEY,
            "This is the lab's own host key: install it on the lab host (kmstwist lab slmgr host /ipk KEY).",
            has_own_cure=True,
        )
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
    """The products that a lab licence file names, one on each line; raises `Refused` for anything else.

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
        raise Refused(f"{path} is not a lab licence file ({error}).") from None
    if not products:
        raise Refused(f"{path} names no product; a lab licence file has the name of a product on each line.")
    return products


def dns_domain(text: str) -> str:
    """A DNS domain to discover hosts in, in DNS's form; raises `Refused` for anything else."""
    if is_address(text.strip().rstrip(".")):
        raise Refused(f"'{text}' is not a DNS domain, but an address; write a domain such as corp.example.")
    try:
        return domain(text)
    except NameInvalid as error:
        raise Refused(str(error)) from None


def lookup_domain(text: str) -> tuple[str, list[str]]:
    """A lookup domain as it is kept, and a note where DNS can look up nothing in it. Windows takes any text."""
    try:
        return dns_domain(text), []
    except Refused as error:
        return text, [str(error)]


def read_act_id(text: str) -> str:
    """An activation id in the form for comparisons: it may be written in braces and in any case."""
    return text.strip().strip("{}").lower()


def find_act_id(machine: Machine, text: str) -> Licence | None:
    """The licence of this activation id, if the machine has it."""
    return next((licence for licence in machine.licences if str(licence.act_id) == read_act_id(text)), None)


def known_act_ids(machine: Machine) -> str:
    """A note: the machine's activation ids with their products."""
    known = ", ".join(f"{licence.act_id} ({licence.product.name})" for licence in machine.licences) or "none"
    return f"This machine has: {known}."


def noted(error: Published) -> list[str]:
    """The lab's notes on a failure: details, and the cure."""
    notes = [error.more] if error.more else []
    if error.cure and not error.has_own_cure:
        notes.append(f"Cure: {error.cure}.")
    return notes
