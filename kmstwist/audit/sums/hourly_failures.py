"""The table `hourly_failures`: who was not granted an activation in each hour, and with what status."""

from __future__ import annotations

from kmstwist.audit.sums.grouping import same_machine_and_hour
from kmstwist.audit.sums.table import SummaryTable

HOURLY_FAILURES = SummaryTable(
    "hourly_failures",
    ("hour", "client", "reason", "kind", "status", "machine"),
    {
        "hour": "hour",
        "client": "client",
        # The text, as enum documents it: `value` is a property, which calls a function.
        "reason": "reason._value_",
        "kind": "kind",
        "status": "status",
        "machine": "machine_said",
        "network": "network",
        "upstream": "upstream_asked",
        "first_at": "at",
        "last_at": "at",
        "calls": "calls",
    },
    standing=same_machine_and_hour,
    unless="granted",
    first="first_at",
    last="last_at",
    counted=("failed record", "failure"),
)
