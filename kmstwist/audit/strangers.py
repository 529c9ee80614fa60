"""Remembering the strangers: KMS hosts that DNS names and nobody configured, when they came and when they went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, and_, delete, select, update

from kmstwist.audit import schema
from kmstwist.audit.engine import writing

#: Those that have gone of which a store keeps the latest, for each gateway and domain: DNS may name others each day.
GONE: Final = 1000


class Sighting(Protocol):
    """A KMS host found in an SRV record."""

    @property
    def host(self) -> str:
        """The name that the record gives."""

    @property
    def port(self) -> int:
        """The TCP port."""

    @property
    def priority(self) -> int:
        """The record's priority: clients ask the lowest first."""

    @property
    def weight(self) -> int:
        """The record's share among those of its priority."""

    @property
    def addresses(self) -> Sequence[str]:
        """What the name resolves to."""


def remember(engine: Engine, gateway: str, domain: str, found: Sequence[Sighting], at: int) -> None:
    """Note that these, and no others, were a domain's strangers at this time (milliseconds since 1970).

    Earlier ones that are not among them are marked as gone. One that comes back keeps the time it was first seen, as
    long as it is remembered (`GONE`).
    """
    table = schema.strangers
    ours = and_(table.c.gateway == gateway, table.c.domain == domain)
    with writing(engine) as connection:
        connection.execute(update(table).where(ours, table.c.gone.is_(None)).values(gone=at))
        for stranger in found:
            key = {"gateway": gateway, "domain": domain, "host": stranger.host, "port": stranger.port}
            values = {
                "priority": stranger.priority,
                "weight": stranger.weight,
                "addresses": ",".join(stranger.addresses),
                "last_seen": at,
                "gone": None,
            }
            this = and_(ours, table.c.host == stranger.host, table.c.port == stranger.port)
            if not connection.execute(update(table).where(this).values(**values)).rowcount:
                connection.execute(table.insert().values(**key, **values, first_seen=at))
        forget_oldest(connection, gateway, domain)


def forget_oldest(connection: Connection, gateway: str, domain: str) -> None:
    """Of a gateway's strangers in a domain that have gone, leave the latest, about `GONE` of them."""
    table = schema.strangers
    gone = and_(table.c.gateway == gateway, table.c.domain == domain, table.c.gone.is_not(None))
    newest_first = select(table.c.gone).where(gone).order_by(table.c.gone.desc())
    last = connection.scalar(newest_first.offset(GONE - 1).limit(1))
    if last is not None:
        # All that went at that moment stay.
        connection.execute(delete(table).where(gone, table.c.gone < last))
