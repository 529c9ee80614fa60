"""The statements that `prepared` runs, by their names. For SQLite their text is in `sqlite.sql`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from sqlalchemy import Executable

from kmstwist.audit.asking.event_statements import EVENT_STATEMENTS
from kmstwist.audit.asking.record_statements import RECORD_STATEMENTS, Made
from kmstwist.audit.asking.summary_statements import SUMMARY_STATEMENTS

PREPARED: Final[Mapping[str, Made]] = {**RECORD_STATEMENTS, **SUMMARY_STATEMENTS, **EVENT_STATEMENTS}


@cache
def prepared(name: str, dialect: str) -> Executable:
    """A statement in a database's dialect. One object for each, since SQLAlchemy compiles it once."""
    return PREPARED[name](dialect)
