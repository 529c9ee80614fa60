"""The names of products by their activation ids, as the store has them.

A genuine request has an activation id and no name. The name comes from the first of these that has one: the site's
configuration (`[products]`, noted in the store by the server), names imported from the text of `slmgr` or `ospp`, and,
for the lab's own ids, the catalogue. Names are looked up when a report is made, so that a name given today also appears
with last year's activations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from kmstwist.audit.asking.facts import put_fact
from kmstwist.audit.asking.questions import ask, column, read_fact
from kmstwist.audit.asking.transactions import reading, writing
from kmstwist.audit.products.product_name import ProductName
from kmstwist.kms.catalogue import APP_ID_OF_FAMILY, APPLICATION_NAMES, FAMILIES
from kmstwist.kms.labids import product_of

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

#: Facts about the store: the names in the server's configuration, and those that were imported.
CONFIGURED, IMPORTED = "products configured", "products imported"


@dataclass(frozen=True)
class Names:
    """The names of products. `given` are the site's own names, by activation ids in lower case."""

    given: Mapping[str, ProductName] = field(default_factory=dict)

    @classmethod
    def stored(cls, reader: Reader) -> Names:
        """The names that a store has."""
        found: dict[str, ProductName] = {}
        for fact in (IMPORTED, CONFIGURED):
            found |= {named.act_id: named for named in _read(read_fact(reader, fact))}
        return cls(found)

    def name_of(self, act_id: str | None) -> str | None:
        """The name of the product with this id; None if it has none."""
        if act_id is None:
            return None
        named = self.given.get(act_id) or _lab(act_id)
        return None if named is None else named.name

    def application(self, act_id: str) -> str:
        """The application that the product of this id is of: "Windows", "Office"; "" if it is not known."""
        named = self.given.get(act_id) or _lab(act_id)
        return APPLICATION_NAMES[APP_ID_OF_FAMILY[named.family]] if named is not None and named.family else ""

    def like(self, pattern: str) -> list[str]:
        """The ids of the site's names that fit a pattern, in which `*` stands for any text."""
        wanted = pattern.casefold().split("*")
        return [act_id for act_id, named in self.given.items() if _fits(named.name.casefold(), wanted)]

    def called(self, ids: Iterable[str]) -> dict[str, str]:
        """The names of these ids, by id, of those that have one."""
        return {each: name for each in ids if (name := self.name_of(each)) is not None}


#: The lab's own ids, and nothing else.
LAB_ONLY = Names()


def _fits(text: str, parts: list[str]) -> bool:
    first, *rest = parts
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)


# Bounded, since a client chooses what it says.
@lru_cache(maxsize=4096)
def _lab(act_id: str) -> ProductName | None:
    try:
        product = product_of(UUID(act_id))
    except ValueError:
        # A store keeps what it was given.
        return None
    return None if product is None else ProductName(act_id, product.name, product.family)


def _read(text: str | None) -> Iterator[ProductName]:
    for act_id, name, family in json.loads(text or "[]"):
        # A later version may know more families.
        yield ProductName(act_id, name, family if family in FAMILIES else "")


def _written(names: Iterable[ProductName]) -> str:
    return json.dumps([[each.act_id, each.name, each.family] for each in names], ensure_ascii=False)


def note_configured(store: Store, names: Iterable[ProductName]) -> None:
    """Note the configuration's names of products in the store."""
    noted = _written(names)
    with reading(store) as reader:
        there = read_fact(reader, CONFIGURED)
    if noted != (there or "[]"):
        with writing(store) as writer:
            put_fact(writer, CONFIGURED, noted)


def add_imported(store: Store, names: Iterable[ProductName]) -> tuple[int, int]:
    """Add names to the imported ones. Returns how many are new, and how many have changed."""
    with writing(store) as writer:
        there = {named.act_id: named for named in _read(read_fact(writer, IMPORTED))}
        given = {named.act_id: named for named in names}
        new = len(given.keys() - there.keys())
        changed = sum(act_id in there and there[act_id] != named for act_id, named in given.items())
        if new or changed:
            put_fact(writer, IMPORTED, _written((there | given).values()))
    return new, changed


def known_products(reader: Reader) -> list[ProductName]:
    """The products that have called or been named, by name; one without a name has ""."""
    names = Names.stored(reader)
    called: dict[str, str] = {act_id: product or "" for act_id, product in ask(reader, "recorded products")}
    found = [
        names.given.get(act_id) or _lab(act_id) or ProductName(act_id, called.get(act_id, ""))
        for act_id in called.keys() | names.given.keys()
    ]
    return sorted(found, key=lambda each: (each.name, each.act_id))


def unnamed_ids(reader: Reader, names: Names) -> int:
    """How many ids in the store have no name."""
    return sum(names.name_of(each) is None for each in column(reader, "product ids without a name"))
