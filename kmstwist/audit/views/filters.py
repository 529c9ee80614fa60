"""The conditions of reports, as the views put them into statements of their own."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table

from kmstwist.audit.asking.conditions import element
from kmstwist.audit.reports import filters


def is_product(connection: Connection, table: Table, text: str) -> ColumnElement[bool]:
    """As `reports.filters.is_product`."""
    return element(filters.is_product(connection, table.name, text))


def within(connection: Connection, table: Table, network: str) -> ColumnElement[bool]:
    """As `reports.filters.within`; raises as that."""
    return element(filters.within(connection, table.name, network))
