"""The table `machines`: the state of each machine, one row for each product that KMS activates on it."""

from __future__ import annotations

from kmstwist.audit.sums.grouping import same_machine
from kmstwist.audit.sums.table import SummaryTable

MACHINES = SummaryTable(
    "machines",
    ("machine", "app", "slot"),
    {
        "machine": "known_as",
        "app": "app",
        "slot": "slot",
        "named": "is_named",
        "address": "client",
        "network": "network",
        "gateway": "gateway",
        "upstream": "upstream",
        "cmid": "cmid",
        "act_id": "act_id",
        "product": "product",
        "virtual_machine": "virtual_machine",
        "first_seen": "at",
        "last_seen": "at",
        "last_success": "granted_at",
        "last_answered": "seen_at",
        "last_status": "status",
        "calls": "calls",
        "successes": "granted",
    },
    standing=same_machine,
    # A peer that sent no KMS message may not be a machine.
    given=("version",),
    added=("calls", "successes"),
    first="first_seen",
    last="last_seen",
    times=("last_success", "last_answered"),
    seldom=("network",),
)
