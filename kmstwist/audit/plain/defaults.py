"""The audit's defaults, apart from the configuration's model: most commands need no more of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

STORE_FILE_NAME: Final = "audit.sqlite"
#: A lab's records are of a rehearsal and must not stand among those of a gateway with the same state folder.
LAB_STORE_FILE_NAME: Final = "lab-audit.sqlite"
#: Seconds, records in a batch, and records that wait at most.
GATHER: Final = 0.0
BATCH: Final = 2000
QUEUE: Final = 100_000


#: Milliseconds in an hour, by which the hourly tables count.
HOUR_MS: Final = 3_600_000


class OnFailure(StrEnum):
    """What happens to calls whose record cannot be stored: the option `on_audit_failure`."""

    SERVE = "serve"
    REFUSE = "refuse"
