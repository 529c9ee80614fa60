"""The keys of the summary tables: the machine, its network, and the status with which a call failed.

A machine is known by its own name if a request's body can be read (V4, the lab, an imported event), and by its address
if not (a genuine V5 or V6 message stays opaque). The privacy policy keeps addresses as they are, shortens them to their
network, or hashes them; each form still names one network, or none.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from sqlalchemy import Table, bindparam, func
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import COUNT_INSUFFICIENT, Record
from kmstwist.networks import network_around, parse_address

UNKNOWN_NETWORK = "unknown"

#: The kinds of status that a failure can have.
KINDS = ("hresult", "fault", "client")

IPV4_PREFIX = 24
IPV6_PREFIX = 64


@lru_cache(maxsize=65536)
def network_of(address: str) -> str:
    """The network of `address`: its /24 for IPv4, its /64 for IPv6, a network as it is, else `UNKNOWN_NETWORK`."""
    if "/" in address:
        try:
            return str(ip_network(address, strict=False))
        except ValueError:
            return UNKNOWN_NETWORK
    parsed = parse_address(address)
    return UNKNOWN_NETWORK if parsed is None else network_around(parsed, IPV4_PREFIX, IPV6_PREFIX)


def outcome(record: Record) -> tuple[str, int]:
    """Why a record was not granted: the kind of status, and the status (0 if there is none)."""
    if record.fault is not None:
        return "fault", record.fault
    if record.hresult is None:
        return "none", 0
    if record.hresult == 0:
        return "client", COUNT_INSUFFICIENT
    return "hresult", record.hresult


def same_machine(record: Record) -> tuple[ColumnElement[bool], dict[str, Any]]:
    """The stored records of the machine that `record` is of: a condition, and the values of its parameters."""
    if record.machine:
        name = record.machine.lower()
        return _OF_THE_NAME if name.isascii() else _OF_ANY_NAME, {"its_name": name}
    return _OF_THE_ADDRESS, {"its_address": record.client}


def named(table: Table, names: Collection[str]) -> ColumnElement[bool]:
    """The rows of a table with the columns of a machine's name that have one of these names, in lower case."""
    # Because of the first half, SQLite reads only the index of names, and not all records.
    return table.c.machine.is_not(None) & func.lower(table.c.machine).in_(names)


_RECORDS = schema.records.c
IN_THE_HOUR = _RECORDS.at.between(bindparam("its_hour"), bindparam("hour_end"))


def the_hour_of(record: Record) -> dict[str, Any]:
    """The parameters of `IN_THE_HOUR`: the hour that `record` is in."""
    begin = record.at // schema.HOUR_MS * schema.HOUR_MS
    return {"its_hour": begin, "hour_end": begin + schema.HOUR_MS - 1}


_NAMED = _RECORDS.machine.is_not(None)
# By the index of names, which folds only A to Z, or by reading all of it.
_OF_THE_NAME = _NAMED & (schema.caseless(_RECORDS.machine) == bindparam("its_name"))
_OF_ANY_NAME = _NAMED & (func.lower(_RECORDS.machine) == bindparam("its_name"))
_OF_THE_ADDRESS = (_RECORDS.client == bindparam("its_address")) & _RECORDS.machine.is_(None)
