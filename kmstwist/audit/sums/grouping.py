"""Which of the stored records belong together in the summary tables: those of a machine, and those of an hour.

A machine is known by its own name if a request's body can be read (V4, the lab, an imported event), and by its address
if not (a genuine V5 or V6 message stays opaque). Each function names a condition of `asking.record_statements`, with
the values of its parameters.
"""

from __future__ import annotations

from typing import Any

from kmstwist.audit.asking.limits import A_NAME, AN_ADDRESS, ANY_NAME, IN_THE_HOUR
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.records import Record, first_id_at


def same_machine(record: Record) -> tuple[str, dict[str, Any]]:
    """The stored records of the machine that `record` is of."""
    if record.machine:
        name = record.machine.lower()
        return A_NAME if name.isascii() else ANY_NAME, {"its_name": name}
    return AN_ADDRESS, {"its_address": record.client}


def same_machine_and_hour(record: Record) -> tuple[str, dict[str, Any]]:
    """The stored records of the machine that `record` is of, and of the hour that it is in."""
    whose, values = same_machine(record)
    begin = record.at // HOUR_MS * HOUR_MS
    hour = {"its_hour": begin, "hour_end": begin + HOUR_MS - 1}
    ids = {"hour_id": first_id_at(begin), "next_hour_id": first_id_at(begin + HOUR_MS)}
    return whose + IN_THE_HOUR, values | hour | ids
