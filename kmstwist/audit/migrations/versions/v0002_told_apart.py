"""Machines' products, the failures of machines at one address, and what a KMS host saw, told apart.

Existing sums stay as they were recorded: a machine's row is that of its latest product, the failures of an
address are those of the machine they were noted under, and each client is taken to have been seen by a host.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: The application id of Windows, of which a machine has one product: its row has no slot.
_WINDOWS = "55c92734-d682-4d71-983e-d6ec3f16059f"


def upgrade() -> None:
    """Change the tables."""
    op.add_column("machine_cmids", sa.Column("last_answered", sa.BigInteger(), nullable=True))
    op.execute("UPDATE machine_cmids SET last_answered = last_seen")

    _put_aside("hourly_failures")
    op.create_table(
        "hourly_failures",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour", "client", "reason", "kind", "status", "machine", name=op.f("pk_hourly_failures")
        ),
    )
    op.create_index(
        "ix_hourly_failures_report",
        "hourly_failures",
        ["kind", "status", "reason", "network", "client", "calls", "first_at", "last_at"],
        unique=False,
    )
    _bring_back("hourly_failures", _FAILURES, _FAILURES)

    _put_aside("machines")
    op.create_table(
        "machines",
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("named", sa.SmallInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("upstream", sa.String(), nullable=True),
        sa.Column("version", sa.SmallInteger(), nullable=True),
        sa.Column("cmid", sa.String(), nullable=True),
        sa.Column("act_id", sa.String(), nullable=True),
        sa.Column("product", sa.String(), nullable=True),
        sa.Column("license_status", sa.BigInteger(), nullable=True),
        sa.Column("virtual_machine", sa.SmallInteger(), nullable=True),
        sa.Column("minutes_left", sa.BigInteger(), nullable=True),
        sa.Column("required_count", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_success", sa.BigInteger(), nullable=True),
        sa.Column("last_answered", sa.BigInteger(), nullable=True),
        sa.Column("last_reason", sa.String(), nullable=False),
        sa.Column("last_status", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "app", "slot", name=op.f("pk_machines")),
    )
    slot = f"CASE WHEN app = '{_WINDOWS}' THEN '' ELSE COALESCE(act_id, '') END"
    _bring_back("machines", f"{_MACHINES}, slot, last_answered", f"{_MACHINES}, {slot}, last_seen")


_FAILURES = "hour, client, reason, kind, status, network, upstream, machine, first_at, last_at, calls"
_MACHINES = (
    "machine, app, named, address, network, gateway, upstream, version, cmid, act_id, product, license_status, "
    "virtual_machine, minutes_left, required_count, first_seen, last_seen, last_success, last_reason, last_status, "
    "calls, successes"
)


def _put_aside(table: str) -> None:
    """Keep a table's rows under another name. Another key is another table: what names the old one has go with it."""
    op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")  # noqa: S608 - our own words
    op.drop_table(table)


def _bring_back(table: str, columns: str, values: str) -> None:
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table}_before")  # noqa: S608 - our own words
    op.drop_table(f"{table}_before")


def downgrade() -> None:
    """Not possible: rows that are apart now have one key before. The earlier backup is the way back."""
    raise NotImplementedError("put the backup that was made before the upgrade in the store's place")
