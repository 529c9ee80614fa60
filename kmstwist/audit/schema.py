"""The audit's tables.

`records` has one row for everything that happened. Reports do not read it: with ten million rows that would take
minutes. The tables after it are updated in the same transaction as each batch of records, and reports read those:
`machines` and `machine_cmids` have the present state, `hourly_activity` and `hourly_failures` what happened when.

All times are integers: milliseconds since 1970 (UTC), `hour` whole hours since then. A record's id begins with its
time, so the unique index on it is the index by time as well. `migrations/` builds these tables; a test holds the two
together.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from kmstwist.audit.plain import defaults


class caseless(FunctionElement[str]):
    """A name in any case: compare it with the name in lower case.

    SQLite knows only A to Z: a name with other letters must be searched with `lower` there. Records are found in
    another way (`asking.found`).
    """

    inherit_cache = True
    type = String()


@compiles(caseless)
def _by_collation(element: caseless, compiler: SQLCompiler, **options: object) -> str:
    return f"{compiler.process(element.clauses, **options)} COLLATE NOCASE"


@compiles(caseless, "postgresql")
def _in_lower_case(element: caseless, compiler: SQLCompiler, **options: object) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


# A big integer that SQLite takes as its own row id.
RowId = BigInteger().with_variant(Integer, "sqlite")

HOUR_MS = defaults.HOUR_MS
#: How many records a block of SQLite's indexes has (`asking.found`): a power of two that was measured.
BLOCK: Final = 4096

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

records = Table(
    "records",
    metadata,
    # The order of commit in this store, which is the order of forwarding.
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("record_id", LargeBinary(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("gateway", String, nullable=False),
    Column("client", String, nullable=False),
    Column("peer", String),
    Column("version", SmallInteger),
    Column("upstream", String),
    Column("hresult", BigInteger),
    Column("fault", BigInteger),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("receive_ms", Float),
    Column("answer_ms", Float),
    Column("bytes_in", Integer, nullable=False),
    Column("bytes_out", Integer, nullable=False),
    Column("machine", String),
    Column("cmid", String),
    Column("app_id", String),
    Column("act_id", String),
    Column("product", String),
    Column("license_status", BigInteger),
    Column("virtual_machine", SmallInteger),
    Column("minutes_left", BigInteger),
    Column("required_count", BigInteger),
    Column("count", BigInteger),
    Index("ix_records_record_id", "record_id", unique=True),
    sqlite_autoincrement=True,
)
# One address's or machine's calls. PostgreSQL finds them in order of time. In SQLite, where each page that a batch
# changes is written to the disk as a whole, such an index would have a batch's entries on as many pages: there, all
# entries of a block of records stand together, and it is searched block by block (`asking.found`).
Index("ix_records_client_at", records.c.client, records.c.at).ddl_if(dialect="postgresql")
_BY_MACHINE = Index("ix_records_machine", func.lower(records.c.machine), records.c.at).ddl_if(dialect="postgresql")
Index(
    "ix_records_block_client",
    text(f"seq / {BLOCK}"),
    records.c.client,
    sqlite_where=records.c.machine.is_(None),
).ddl_if(dialect="sqlite")
Index(
    "ix_records_block_machine",
    text(f"seq / {BLOCK}"),
    caseless(records.c.machine),
    sqlite_where=records.c.machine.is_not(None),
).ddl_if(dialect="sqlite")


def complete_for(dialect: str) -> None:
    """Add the options of the tables for databases other than SQLite.

    SQLAlchemy loads each dialect that a table has an option for: most gateways would load PostgreSQL's for nothing.
    """
    if dialect == "postgresql":
        _BY_MACHINE.dialect_kwargs["postgresql_where"] = records.c.machine.is_not(None)


# One row for each product that a machine has KMS activate: Windows, and each of its Office products. `app` is the
# application id, the product's where only that is known (an imported event), "" where neither is. `slot` tells an
# application's products apart: the product's id, but "" for Windows, of which a machine has one (after an upgrade the
# new one stands for it), and where it is not known. A row stands for the latest call, and remembers the last success,
# and in `last_answered` the last call that a KMS host saw.
machines = Table(
    "machines",
    metadata,
    Column("machine", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("slot", String, primary_key=True),
    Column("named", SmallInteger, nullable=False),
    Column("address", String, nullable=False),
    Column("network", String, nullable=False),
    Column("gateway", String, nullable=False),
    Column("upstream", String),
    Column("cmid", String),
    Column("act_id", String),
    Column("product", String),
    Column("virtual_machine", SmallInteger),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("last_success", BigInteger),
    Column("last_answered", BigInteger),
    Column("last_status", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    # Written only if a machine moves, so that it costs nothing for each call (`SummaryTable.seldom`).
    Index("ix_machines_network", "network"),
)

machine_cmids = Table(
    "machine_cmids",
    metadata,
    Column("machine", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("cmid", String, primary_key=True),
    Column("address", String, nullable=False),
    Column("required_count", BigInteger),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("last_answered", BigInteger),
    Column("calls", BigInteger, nullable=False),
    Index("ix_machine_cmids_cmid", "cmid"),
)

hourly_activity = Table(
    "hourly_activity",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("gateway", String, primary_key=True),
    Column("upstream", String, primary_key=True),
    Column("product", String, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    # The sum over the calls that have this duration, and how many they are: their quotient is the mean.
    Column("answer_ms", Float, nullable=False),
    Column("answer_calls", BigInteger, nullable=False),
)

# `kind` says what `status` is: "hresult", "fault", "client" (the client's own conclusion) or "none". `machine` is ""
# for calls that named none: an address may be many machines'.
hourly_failures = Table(
    "hourly_failures",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("client", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("status", BigInteger, primary_key=True, autoincrement=False),
    Column("machine", String, primary_key=True),
    Column("network", String, nullable=False),
    Column("upstream", String, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    # For the report of failures: in its order, with all columns it needs.
    Index(
        "ix_hourly_failures_report",
        *("kind", "status", "reason", "network", "client", "calls", "first_at", "last_at"),
    ),
)

# Windows' own events. `fingerprint` is over what every export format agrees on, so importing twice changes nothing.
# `record_id` is the gateway record this event was joined to.
events = Table(
    "events",
    metadata,
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("fingerprint", LargeBinary(16), nullable=False),
    Column("event_id", Integer, nullable=False),
    Column("computer", String, nullable=False),
    Column("event_record_id", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("hresult", BigInteger),
    Column("machine", String),
    Column("cmid", String),
    Column("act_id", String),
    Column("license_status", BigInteger),
    Column("virtual_machine", SmallInteger),
    Column("minutes_left", BigInteger),
    Column("required_count", BigInteger),
    Column("count", BigInteger),
    Column("client_time", String),
    Column("target", String),
    Column("record_id", LargeBinary(16)),
    Index("ix_events_fingerprint", "fingerprint", unique=True),
    Index("ix_events_machine", "machine"),
    # Events without a record yet, by their time.
    Index("ix_events_record_id_at", "record_id", "at"),
)

# How far each central store has been fed: it has every record up to this `seq`.
forwarding = Table(
    "forwarding",
    metadata,
    Column("target", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# The KMS hosts that DNS named and nobody configured, as the gateway's watch found them. `gone` is when the watch found
# one no longer there, null while it is.
strangers = Table(
    "strangers",
    metadata,
    Column("gateway", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("host", String, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("priority", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("addresses", Text, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("gone", BigInteger),
)

# Facts about the store itself, such as the privacy policy its records were stored under.
facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
