"""Whether a central store would take this gateway's records, as far as can be seen without sending any."""

from __future__ import annotations

from sqlalchemy import Connection, text

from kmstwist.audit.central.salt import CENTRAL_CURE, another_salt, fingerprint, noted
from kmstwist.audit.migrate import HEAD, current_revision, revision_fault


def why_not(connection: Connection, salt: bytes) -> str:
    """Why it would take none, with the cure; "" where it would. `salt` is what the records' fields are hashed with.

    A store that is full is not seen. Changes nothing; raises SQLAlchemy's errors.
    """
    if connection.dialect.name == "postgresql" and connection.scalar(text("SHOW transaction_read_only")) == "on":
        return "it is read-only at present: a standby, or its transactions are so by default"
    revision = current_revision(connection)
    if revision is None:
        # It is new: the forwarder makes the tables.
        return ""
    fault = revision_fault(connection)
    if fault and revision > HEAD:
        return fault
    if not connection.scalar(text("SELECT has_table_privilege('records', 'INSERT')")):
        return "this role may not write its tables"
    there = noted(connection)
    if there is not None and salt and fingerprint(salt) != there:
        return f"its fields are hashed with {another_salt(there, fingerprint(salt))}; {CENTRAL_CURE}"
    return ""
