"""The table `machine_cmids`: which client machine ids each machine has called with, for each application."""

from __future__ import annotations

from kmstwist.audit.sums.grouping import same_machine
from kmstwist.audit.sums.table import SummaryTable

MACHINE_CMIDS = SummaryTable(
    "machine_cmids",
    ("machine", "app", "cmid"),
    {
        "machine": "known_as",
        "app": "app",
        "cmid": "cmid",
        "address": "client",
        "required_count": "required_count",
        "first_seen": "at",
        "last_seen": "at",
        "last_answered": "seen_at",
        "calls": "calls",
    },
    standing=same_machine,
    given=("version", "cmid"),
    first="first_seen",
    last="last_seen",
    times=("last_answered",),
)
