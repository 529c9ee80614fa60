"""Which products an Office licence file stands for.

A lab licence file is a text with a product's name on each line. A file of Office's own, which a lab machine does not
have, is recognised by its name: `ProPlus2021VL_KMS_Client_AE-ppd.xrm-ms` is Office LTSC Professional Plus 2021.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from kmstwist.kms.catalogue import OFFICE, Product, products
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.session import read_licence_file
from kmstwist.lab.windows_names import naming_of

_NAME = re.compile(r"^([a-z0-9]+)vl_kms_client", re.IGNORECASE)


def office_products(path: str) -> list[Product]:
    """The Office products of a licence file; none for a file that all of Office shares. Raises `Refused` for others."""
    file = path.replace("\\", "/").rsplit("/", 1)[-1]
    if not Path(path).exists():
        found = _NAME.match(file)
        product = _by_short_name().get(found[1].lower()) if found else None
        if product is not None:
            return [product]
        if re.match(r"(client-issuance|pkeyconfig)", file, re.IGNORECASE) or (found is None and _is_offices(file)):
            # These files come with every Office and belong to no product.
            return []
    named = read_licence_file(path)
    for product in named:
        if product.app_id != OFFICE:
            raise Refused(f"{product.name} is not an Office product: slmgr /ilc installs its licence.")
    return named


def _is_offices(file: str) -> bool:
    return re.match(r"[a-z0-9]+(vl_mak|r_retail|r_oem|r_grace|r_trial)", file, re.IGNORECASE) is not None


@cache
def _by_short_name() -> dict[str, Product]:
    """Products by the beginning of their licence files' names, in small letters: `proplus2021`, `visiopro`."""
    named: dict[str, Product] = {}
    for product in products():
        found = re.match(r"Office(?:\d\d)?(.*)VL_KMS_Client", naming_of(product).edition)
        if product.app_id == OFFICE and found:
            named[found[1].lower()] = product
    return named
