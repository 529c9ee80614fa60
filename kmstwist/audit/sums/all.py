"""The list of the summary tables."""

from __future__ import annotations

from kmstwist.audit.sums.hourly_activity import HOURLY_ACTIVITY
from kmstwist.audit.sums.hourly_failures import HOURLY_FAILURES
from kmstwist.audit.sums.machine_cmids import MACHINE_CMIDS
from kmstwist.audit.sums.machines import MACHINES
from kmstwist.audit.sums.table import SummaryTable

# They are written in this order, so that two writers never wait for each other.
SUMS: tuple[SummaryTable, ...] = (MACHINES, MACHINE_CMIDS, HOURLY_ACTIVITY, HOURLY_FAILURES)
