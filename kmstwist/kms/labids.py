"""The ids that the lab gives to products: UUIDs of version 5 in a namespace of the project's own.

Genuine activation ids are Microsoft's and stand for a licence; the lab's stand for a line of the catalogue only.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from uuid import NAMESPACE_URL, UUID, uuid5

from kmstwist.kms.catalogue import Product, products
from kmstwist.kms.messages import RequestFacts

LAB_NAMESPACE = uuid5(NAMESPACE_URL, "urn:kmstwist:lab")


@cache
def activation_id(product_name: str) -> UUID:
    """The lab's activation id (ActID) of the product of this name."""
    return uuid5(LAB_NAMESPACE, product_name)


@cache
def kms_id(family: str) -> UUID:
    """The lab's key management service id (KMSID) of a product family."""
    return uuid5(LAB_NAMESPACE, f"family {family}")


@cache
def _by_activation_id() -> dict[UUID, Product]:
    return {activation_id(product.name): product for product in products()}


def product_of(act_id: UUID) -> Product | None:
    """The product of a lab activation id, or None for any other UUID."""
    return _by_activation_id().get(act_id)


def named(facts: RequestFacts) -> RequestFacts:
    """The facts of a readable request, with its product's name where the product is the lab's."""
    product = None if facts.product else product_of(facts.act_id)
    return facts if product is None else replace(facts, product=product.name)
