"""Which of the stored records belong together in the summary tables: those of a machine, and those of an hour.

A machine is known by its own name if a request's body can be read (V4, the lab, an imported event), and by its address
if not (a genuine V5 or V6 message stays opaque). Each function names a condition of `asking.record_statements`, with
the values of its parameters.
"""

from __future__ import annotations

from typing import Any

from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.records import Record


def same_machine(record: Record) -> tuple[str, dict[str, Any]]:
    """The stored records of the machine that `record` is of."""
    if record.machine:
        name = record.machine.lower()
        return "of a name" if name.isascii() else "of any name", {"its_name": name}
    return "of an address", {"its_address": record.client}


def same_hour(record: Record) -> tuple[str, dict[str, Any]]:
    """The stored records of the hour that `record` is in."""
    begin = record.at // HOUR_MS * HOUR_MS
    return "in an hour", {"its_hour": begin, "hour_end": begin + HOUR_MS - 1}


def same_client_and_hour(record: Record) -> tuple[str, dict[str, Any]]:
    """The stored records of the hour that `record` is in that came from its address."""
    _, hour = same_hour(record)
    return "in an hour, of a client", {"its_client": record.client, **hour}
