"""Products in the text that `slmgr /dlv all` and `ospp /dstatusall` print, in any language.

Windows' labels are translated and the values are not. A licence's description ends in its channel
(`..., VOLUME_KMSCLIENT channel`); the name is in the line before it, and the activation id in the line after it (slmgr)
or before the name (ospp). The application's id, the CMID and everything else are farther away. PowerShell lists the
properties of WMI's class SoftwareLicensingProduct by name: the application's id, the description, the id, the name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from kmstwist.audit.products.product_name import ProductName
from kmstwist.kms.catalogue import APP_ID_OF_FAMILY, APPLICATION_NAMES, UnknownProduct, find
from kmstwist.shown import counted

#: The most bytes of such a text that are read; `slmgr /dlv all` prints about 300 KB.
MOST = 16 << 20

_CHANNEL = re.compile(r",\s*([A-Z][A-Z0-9_]*)(?:\([^)]*\))?\s+channel$")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_LABELLED = re.compile(r"[^:\N{FULLWIDTH COLON}]*[:\N{FULLWIDTH COLON}]\s*(.*)")
_EDITION = re.compile(r"\s+edition$")
CLIENT_CHANNEL = "VOLUME_KMSCLIENT"
_FAMILY_OF = {str(app): family for family, app in APP_ID_OF_FAMILY.items() if family != "Windows Server"}
_APPLICATIONS = {str(app) for app in APPLICATION_NAMES}


class NoProducts(ValueError):
    """A text contains no products that activate by KMS; the message says what it contains, and how to get another."""


@dataclass(frozen=True, slots=True)
class Printed:
    """The contents of a text: the products that activate by KMS, and how many others."""

    names: Sequence[ProductName]
    others: int


def read_printed(text: str) -> Printed:
    """The products in a text. Raises NoProducts."""
    found: dict[str, ProductName] = {}
    others = 0
    for channel, named in _licences([_plain(line) for line in text.splitlines()]):
        if channel == CLIENT_CHANNEL:
            found[named.act_id] = named
        else:
            others += 1
    if not found:
        had = (
            f"{counted(others, 'licence')} and none that activates by KMS"
            if others
            else "no licence with its activation id"
        )
        raise NoProducts(
            f"it has {had}; run on a KMS client: cscript //nologo slmgr.vbs /dlv all > products.txt (for Office: "
            "cscript //nologo ospp.vbs /dstatusall > products.txt)"
        )
    return Printed(list(found.values()), others)


def _plain(line: str) -> str:
    """A line without marks of the direction of writing."""
    return (
        line.strip() if line.isascii() else "".join(each for each in line if unicodedata.category(each) != "Cf").strip()
    )


def _licences(lines: Sequence[str]) -> Iterator[tuple[str, ProductName]]:
    for at, line in enumerate(lines):
        channel = _CHANNEL.search(line)
        if channel is None or at == 0:
            continue
        name = _value(lines[at - 1])
        if _UUID.fullmatch(name):
            name = "" if at + 2 >= len(lines) or _UUID.fullmatch(below := _value(lines[at + 2])) else below
        # slmgr prints the id after the description, ospp before the name.
        act_id = _id_in(lines, at + 1) or _id_in(lines, at - 2)
        if name and act_id:
            yield channel[1], _named(act_id, name, _application(lines, at))


def _value(line: str) -> str:
    found = _LABELLED.fullmatch(line)
    return "" if found is None else found[1].strip()


def _id_in(lines: Sequence[str], at: int) -> str:
    if not 0 <= at < len(lines) or not _UUID.fullmatch(value := _value(lines[at])):
        return ""
    return "" if value.lower() in _APPLICATIONS else value.lower()


def _application(lines: Sequence[str], at: int) -> str:
    """The application's id, where it is printed: two lines after the description (slmgr), or in the one before."""
    found = [_value(each).lower() for each in (*lines[at + 2 : at + 3], lines[at - 1])]
    return next((each for each in found if each in _APPLICATIONS), "")


def _named(act_id: str, printed: str, application: str) -> ProductName:
    try:
        product = find(_EDITION.sub("", printed))
    except UnknownProduct:
        family = _FAMILY_OF.get(application, "")
        if not family:
            family = "Office" if re.match(r"Office\b|Office\d", printed) else "Windows"
        if family == "Windows" and re.search(r"server", printed, re.IGNORECASE):
            family = "Windows Server"
        return ProductName(str(UUID(act_id)), printed, family)
    return ProductName(str(UUID(act_id)), product.name, product.family)
