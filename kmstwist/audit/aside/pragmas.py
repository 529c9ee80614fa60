"""What connections to an audit's store are told first."""

from __future__ import annotations

from typing import Final

#: Has effect only before the first table, and waits for the disk five times in any case: retention then hands freed
#: pages back in small steps.
KEPT_SMALL: Final = "PRAGMA auto_vacuum=INCREMENTAL"
#: One that may make the store, or write to a copy. Where the log is WAL, it is for good.
LOGGED: Final = "PRAGMA journal_mode=WAL"
#: One that writes: a commit is on the disk when it returns. The log is emptied into the store after 4,000 pages, 16 MB:
#: in a storm the pages of its machines are written again and again, and of those in the log only the last goes there.
#: It grows beyond them while somebody reads without a pause; once it begins anew, it is cut back to 32 MiB.
WRITING: Final = ("PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=4000", "PRAGMA journal_size_limit=33554432")
#: Has 64 MiB for pages of the store: what goes through all of them, or commits records of all machines.
ANY: Final = ("PRAGMA cache_size=-65536", "PRAGMA temp_store=MEMORY")
#: One of a server's several, each of which keeps its pages for good: with 64 MiB, reports are no quicker.
SERVING: Final = "PRAGMA cache_size=-8192"
#: Seconds that a connection waits for another process's lock, where nothing else is said.
DEFAULT_BUSY_TIMEOUT: Final = 1.0
