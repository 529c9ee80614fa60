"""The `[products]` section of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kmstwist.audit.products.product_name import ProductName
from kmstwist.problem import WrongValue
from kmstwist.sections import Contradictions, Fault, Section


def _activation_id(text: str) -> str:
    from uuid import UUID

    bare = text.strip().strip("{}")
    try:
        return str(UUID(bare))
    except ValueError:
        raise WrongValue(
            f"'{text}' is not an activation id", "write it as slmgr /dlv prints it, 8-4-4-4-12 hexadecimal digits"
        ) from None


class NamedProduct(Section):
    """What one product is called in reports and on the status site."""

    id: Annotated[str, AfterValidator(_activation_id)] = Field(
        description="The product's activation id, as slmgr /dlv, ospp /dstatusall and reports show it.",
        examples=["11111111-2222-3333-4444-555555555555"],
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="What to call it.", examples=["Windows 11 Enterprise"]
    )
    family: Literal["Windows", "Windows Server", "Office"] | None = Field(
        None,
        description="Its family: a Windows client, a Windows server or Office. The report count needs it.",
        examples=["Windows"],
    )


class ProductsSettings(Section):
    """The site's own names for products."""

    named: tuple[NamedProduct, ...] = Field((), description="The names, each a [[products.named]] table.")

    @model_validator(mode="after")
    def _each_once(self) -> ProductsSettings:
        if faults := list(self._named_twice()):
            raise Contradictions(faults)
        return self

    def _named_twice(self) -> Iterator[Fault]:
        seen = set()
        for number, product in enumerate(self.named):
            if product.id in seen:
                yield Fault(
                    f"the product {product.id} is named twice", "keep one name", (("named", str(number), "id"),)
                )
            seen.add(product.id)

    @property
    def names(self) -> tuple[ProductName, ...]:
        """The names as reports take them."""
        return tuple(ProductName(product.id, product.name, product.family or "") for product in self.named)
