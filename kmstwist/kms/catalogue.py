"""The products that activate by KMS, with their published client setup keys (GVLK) and thresholds.

The list is the package's own data file `data/gvlk.csv`, from Microsoft's published "KMS client activation and product
keys" pages. A client setup key is not a secret and activates nothing by itself: it tells a machine to ask a KMS host.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from kmstwist.kms import names
from kmstwist.kms.spellings import FOREIGN
from kmstwist.problem import ProblemError

# Published in Microsoft's VAMT documentation.
WINDOWS = UUID("55c92734-d682-4d71-983e-d6ec3f16059f")
OFFICE_2010 = UUID("59a52881-a989-479d-af46-f275c6370663")
OFFICE = UUID("0ff1ce15-a989-479d-af46-f275c6370663")

APP_ID_OF_FAMILY = {"Windows": WINDOWS, "Windows Server": WINDOWS, "Office": OFFICE}
APPLICATION_NAMES = {WINDOWS: "Windows", OFFICE_2010: "Office 2010", OFFICE: "Office"}
FAMILIES = tuple(APP_ID_OF_FAMILY)

_SUGGESTIONS = 6
#: A word shorter than this is close to too many others.
_LETTERS_OF_A_SLIP = 4


@dataclass(frozen=True, slots=True)
class Product:
    """One product: `threshold` is the client count its KMS host must report, `app_id` the application it belongs to."""

    name: str
    family: str
    threshold: int
    gvlk: str
    app_id: UUID


def _application(row: dict[str, str]) -> UUID:
    return OFFICE_2010 if row["product"].endswith(" 2010") else APP_ID_OF_FAMILY[row["family"]]


class UnknownProduct(ProblemError, LookupError):
    """No product, or more than one, has this name; the cure names some of those that may be meant.

    `meant` are all products that the name fits as far as it goes; empty if it fits none.
    """

    def __init__(self, what: str, cure: str = "", where: str = "", meant: Sequence[Product] = ()) -> None:
        super().__init__(what, cure, where)
        self.meant = tuple(meant)


@cache
def products() -> tuple[Product, ...]:
    """Every product of the catalogue, in the order of its file."""
    # Here, because it loads the formats of archives, and a command that only needs an application's id does without.
    from importlib import resources

    text = resources.files("kmstwist.kms").joinpath("data/gvlk.csv").read_text(encoding="utf-8")
    return tuple(
        Product(row["product"], row["family"], int(row["threshold"]), row["gvlk"], _application(row))
        for row in csv.DictReader(text.splitlines())
    )


@cache
def _by_name() -> dict[str, Product]:
    """Every product by its own name, as it is compared."""
    return {names.normal(product.name): product for product in products()}


@cache
def _variants() -> tuple[tuple[frozenset[str], Product], ...]:
    """The words of every version that a product of the catalogue stands for."""
    return tuple((words, product) for product in products() for words in names.variants(product.name))


@cache
def _by_gvlk() -> dict[str, Product]:
    return {product.gvlk: product for product in products()}


def find(name: str) -> Product:
    """The product that a name means, as people and tools write it. Raises `UnknownProduct` if that is not clear.

    "Windows Server 2019 Standard", "server 2019 std", "2012r2 dc" and `ProPlus2021Volume` are names. For a name
    that fits several products, or none, the error suggests up to six that may be meant.
    """
    if (product := _by_name().get(names.normal(name))) is not None:
        return product
    asked = names.words(name)
    if foreign := sorted(asked & FOREIGN.keys()):
        raise UnknownProduct(f'no product of the catalogue is "{name}": {FOREIGN[foreign[0]]}')
    for means in (names.means, names.fits):
        meant = _that(means, asked)
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise UnknownProduct(*_choice(name, meant), meant=meant)
    if possible := _that(names.could_be, asked):
        raise UnknownProduct(*_choice(name, possible), meant=possible)
    if asked and asked <= names.LINES:
        of_line = list(dict.fromkeys(product for words, product in _variants() if asked <= _line(product, words)))
        # Words of lines that no one product has, such as "office server", name no product.
        if of_line:
            raise UnknownProduct(*_choice(name, of_line), meant=of_line)
    raise UnknownProduct(f'the catalogue has no product "{name}"', _suggestion(name, asked))


def _line(product: Product, words: frozenset[str]) -> frozenset[str]:
    """The lines that a product belongs to, whether or not its name says so."""
    return frozenset({"office"}) if product.family == "Office" else words & names.LINES


def _that(means: Callable[[frozenset[str], frozenset[str]], bool], asked: frozenset[str]) -> list[Product]:
    return list(dict.fromkeys(product for words, product in _variants() if means(asked, words)))


def _choice(name: str, meant: list[Product]) -> tuple[str, str]:
    """What is wrong with a name that fits these, and the cure."""
    listed = [product.name for product in meant]
    fewer = listed[:_SUGGESTIONS]
    if len(meant) == 1:
        return f'"{name}" leaves out what tells editions apart', f"did you mean {_listed(fewer)}?"
    such = "such as" if len(meant) > len(fewer) else "namely"
    return f'"{name}" fits {len(meant)} products, {such} {_listed(fewer)}', "give the whole name"


def _suggestion(name: str, asked: frozenset[str]) -> str:
    """The products that a name may mean once its misspellings are corrected, else those that share most words with it.

    Only those of its own year or release, if the catalogue has that.
    """
    right = frozenset(_set_right(word) for word in asked)
    for means in (names.means, names.fits, names.could_be):
        if found := _that(means, right):
            return f"did you mean {_listed([product.name for product in found[:_SUGGESTIONS]])}?"
    numbers = {word for word in right if word[0].isdigit()} & _numbers()
    best = _nearest(name, right, numbers) or _nearest(name, right, set())
    return f"did you mean {_listed(best)}?" if best else "`kmstwist keys` lists them all"


def _nearest(name: str, asked: frozenset[str], numbers: set[str]) -> list[str]:
    """The products of these years and releases that share most words with a name."""
    shared: dict[str, float] = {}
    for words, product in _variants():
        common = (words & asked) - names.LINES
        if common and numbers <= words and asked & names.LINES <= _line(product, words):
            alike = difflib.SequenceMatcher(None, names.normal(name), names.normal(product.name)).ratio()
            rank = len(common) - 0.1 * len(words - asked) + 0.01 * alike
            shared[product.name] = max(rank, shared.get(product.name, rank))
    best = max(shared.values(), default=0.0)
    return sorted((each for each, rank in shared.items() if rank > best / 2), key=lambda each: -shared[each])[
        :_SUGGESTIONS
    ]


def _set_right(word: str) -> str:
    """The word of the catalogue that a misspelt one is close to, or the word itself if there is none."""
    if len(word) < _LETTERS_OF_A_SLIP or not word.isalpha():
        return word
    return next(iter(difflib.get_close_matches(word, _vocabulary(), n=1, cutoff=0.75)), word)


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for words, _ in _variants() for word in words if word.isalpha())


@cache
def _numbers() -> frozenset[str]:
    return frozenset(word for words, _ in _variants() for word in words if word[0].isdigit())


def find_gvlk(key: str) -> Product | None:
    """The product whose published client setup key this is, or None."""
    return _by_gvlk().get(key.strip().upper())


def search(text: str) -> list[Product]:
    """The products whose name, family or key contain every word of the text, whatever its case; all products for ""."""
    words = text.casefold().split()
    return [
        product
        for product in products()
        if all(word in f"{product.name} {product.family} {product.gvlk}".casefold() for word in words)
    ]


def _listed(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
