"""Whether a central store would take this gateway's records, as far as can be seen without sending any."""

from __future__ import annotations

from sqlalchemy import Connection, text

from kmstwist.audit.central.fingerprint import fingerprint, noted
from kmstwist.audit.central.salt import CENTRAL_CURE, another_salt
from kmstwist.audit.migrate import current_revision, revision_fault
from kmstwist.audit.plain.start_check import HEAD


def why_not(connection: Connection, salt: bytes) -> str:
    """Why it would not take records, with the cure; "" if it would. `salt` is the key of the records' hashed fields.

    This does not detect a full store. Changes nothing; raises SQLAlchemy's errors.
    """
    if connection.dialect.name == "postgresql" and connection.scalar(text("SHOW transaction_read_only")) == "on":
        return "it is read-only at present: it is a standby, or its transactions are read-only by default"
    revision = current_revision(connection)
    if revision is None:
        # The store is new: the forwarder will make the tables.
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
