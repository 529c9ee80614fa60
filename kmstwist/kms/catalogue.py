"""The products that activate by KMS, with their published client setup keys (GVLK) and thresholds.

The list is the package's own data file `data/gvlk.csv`, from Microsoft's published "KMS client activation and product
keys" pages. A client setup key is no secret and activates nothing by itself: it tells a machine to look for a KMS host.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from uuid import UUID

# Published in Microsoft's VAMT documentation.
WINDOWS = UUID("55c92734-d682-4d71-983e-d6ec3f16059f")
OFFICE_2010 = UUID("59a52881-a989-479d-af46-f275c6370663")
OFFICE = UUID("0ff1ce15-a989-479d-af46-f275c6370663")

APP_ID_OF_FAMILY = {"Windows": WINDOWS, "Windows Server": WINDOWS, "Office": OFFICE}
APPLICATION_NAMES = {WINDOWS: "Windows", OFFICE_2010: "Office 2010", OFFICE: "Office"}
FAMILIES = tuple(APP_ID_OF_FAMILY)

_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Product:
    """One product: `threshold` is the client count its KMS host must report, `app_id` the application it belongs to."""

    name: str
    family: str
    threshold: int
    gvlk: str
    app_id: UUID


class UnknownProduct(LookupError):
    """No product, or more than one, answers to a name; the text suggests up to three."""


@cache
def products() -> tuple[Product, ...]:
    """Every product of the catalogue, in the order of its file."""
    text = resources.files("kmstwist.kms").joinpath("data/gvlk.csv").read_text(encoding="utf-8")
    return tuple(
        Product(row["product"], row["family"], int(row["threshold"]), row["gvlk"], APP_ID_OF_FAMILY[row["family"]])
        for row in csv.DictReader(text.splitlines())
    )


@cache
def _by_name() -> dict[str, Product]:
    """Every product by its folded name; one that the list names "Windows 11 / 10 …" also by either version alone."""
    names = {product.name.casefold(): product for product in products()}
    shared = "windows 11 / 10 "
    for name, product in list(names.items()):
        if name.startswith(shared):
            for version in ("windows 11 ", "windows 10 "):
                names.setdefault(version + name.removeprefix(shared), product)
    return names


@cache
def _by_gvlk() -> dict[str, Product]:
    return {product.gvlk: product for product in products()}


def find(name: str) -> Product:
    """The product of this name, in any case, or the only one whose name contains it; else `UnknownProduct`."""
    wanted = " ".join(name.split()).casefold()
    names = _by_name()
    if wanted in names:
        return names[wanted]
    containing = {product.name: product for key, product in names.items() if wanted and wanted in key}
    if len(containing) == 1:
        return next(iter(containing.values()))
    if containing:
        close = sorted(containing, key=lambda candidate: (len(candidate), candidate))[:_SUGGESTIONS]
        raise UnknownProduct(f'"{name}" fits {len(containing)} products, such as {_listed(close)}; give the whole name')
    nearest = difflib.get_close_matches(wanted, names, n=2 * _SUGGESTIONS, cutoff=0.5)
    close = list(dict.fromkeys(names[key].name for key in nearest))[:_SUGGESTIONS]
    suggestion = f"; did you mean {_listed(close)}?" if close else ""
    raise UnknownProduct(f'the catalogue has no product "{name}"{suggestion}')


def find_gvlk(key: str) -> Product | None:
    """The product whose published client setup key this is, or None."""
    return _by_gvlk().get(key.strip().upper())


def search(text: str) -> list[Product]:
    """The products whose name, family or key contain every word of the text, in any case; all of them for no words."""
    words = text.casefold().split()
    return [
        product
        for product in products()
        if all(word in f"{product.name} {product.family} {product.gvlk}".casefold() for word in words)
    ]


def _listed(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
