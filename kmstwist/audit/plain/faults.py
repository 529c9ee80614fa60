"""What can be wrong with a store: the errors that say so, and what others' errors mean."""

from __future__ import annotations

import errno

from kmstwist.problem import ProblemError

#: PostgreSQL's codes for a wait that `engine.with_patience` ended, and what they mean.
_WAITED = {
    "55P03": "somebody has its tables locked, as pg_stat_activity and pg_locks show there",
    "57014": "it is too slow to answer in time",
}
# SQLite's result codes (https://www.sqlite.org/rescode.html): busy, locked, I/O error, corrupt, full, not a database.
_PASSING = frozenset({5, 6, 10, 11, 13, 26})


class StoreError(ProblemError):
    """A store that cannot be used: which, why, and what to do about it."""


class StoreUnavailable(StoreError):
    """A store that cannot be used at present, but may be later, by itself or after somebody has repaired it."""


class AuditUnavailable(Exception):
    """The record could not be stored and the policy is to refuse: the call must not be answered."""


def not_open(store: str) -> StoreUnavailable:
    """There is no open store at present."""
    return StoreUnavailable(f"the audit store {store} is not open at present", "the log says why")


def may_pass(error: BaseException) -> bool:
    """Whether an error may pass (locked, full) or comes from a damaged file, rather than from the configuration."""
    code = getattr(_original(error), "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _PASSING
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def plain_error(error: BaseException) -> str:
    """What a database's error says, without the statement and the links SQLAlchemy adds to it."""
    original = _original(error)
    if isinstance(original, OSError) and original.strerror:
        return f"{original.strerror}: {original.filename}" if original.filename else original.strerror
    said = " ".join(str(original).split()) or type(original).__name__
    waited = _WAITED.get(str(getattr(original, "sqlstate", None)))
    return said if waited is None else f"{waited} ({said})"


def _original(error: BaseException) -> BaseException:
    """The driver's error that SQLAlchemy made one of its own of; any other as it is."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error
