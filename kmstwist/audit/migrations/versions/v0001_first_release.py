"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "events",
        sa.Column("seq", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("computer", sa.String(), nullable=False),
        sa.Column("event_record_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hresult", sa.BigInteger(), nullable=True),
        sa.Column("machine", sa.String(), nullable=True),
        sa.Column("cmid", sa.String(), nullable=True),
        sa.Column("act_id", sa.String(), nullable=True),
        sa.Column("license_status", sa.BigInteger(), nullable=True),
        sa.Column("virtual_machine", sa.SmallInteger(), nullable=True),
        sa.Column("minutes_left", sa.BigInteger(), nullable=True),
        sa.Column("required_count", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.Column("client_time", sa.String(), nullable=True),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("record_id", sa.LargeBinary(length=16), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    op.create_index("ix_events_fingerprint", "events", ["fingerprint"], unique=True)
    op.create_index("ix_events_machine", "events", ["machine"], unique=False)
    op.create_index("ix_events_record_id_at", "events", ["record_id", "at"], unique=False)

    op.create_table(
        "facts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "forwarding",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_forwarding")),
    )
    op.create_table(
        "hourly_activity",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("answer_ms", sa.Float(), nullable=False),
        sa.Column("answer_calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "gateway", "upstream", "product", name=op.f("pk_hourly_activity")),
    )
    op.create_table(
        "hourly_failures",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "client", "reason", "kind", "status", name=op.f("pk_hourly_failures")),
    )
    op.create_index(
        "ix_hourly_failures_report",
        "hourly_failures",
        ["kind", "status", "reason", "network", "client", "calls", "first_at", "last_at"],
        unique=False,
    )
    op.create_table(
        "machine_cmids",
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("cmid", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("required_count", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "app", "cmid", name=op.f("pk_machine_cmids")),
    )
    op.create_index("ix_machine_cmids_cmid", "machine_cmids", ["cmid"], unique=False)

    op.create_table(
        "machines",
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
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
        sa.Column("last_reason", sa.String(), nullable=False),
        sa.Column("last_status", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "app", name=op.f("pk_machines")),
    )
    op.create_table(
        "records",
        sa.Column("seq", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("record_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("peer", sa.String(), nullable=True),
        sa.Column("version", sa.SmallInteger(), nullable=True),
        sa.Column("upstream", sa.String(), nullable=True),
        sa.Column("hresult", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("receive_ms", sa.Float(), nullable=True),
        sa.Column("admission_ms", sa.Float(), nullable=True),
        sa.Column("answer_ms", sa.Float(), nullable=True),
        sa.Column("bytes_in", sa.Integer(), nullable=False),
        sa.Column("bytes_out", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(), nullable=True),
        sa.Column("cmid", sa.String(), nullable=True),
        sa.Column("app_id", sa.String(), nullable=True),
        sa.Column("act_id", sa.String(), nullable=True),
        sa.Column("product", sa.String(), nullable=True),
        sa.Column("license_status", sa.BigInteger(), nullable=True),
        sa.Column("virtual_machine", sa.SmallInteger(), nullable=True),
        sa.Column("minutes_left", sa.BigInteger(), nullable=True),
        sa.Column("required_count", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_records")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_records_client_at", "records", ["client", "at"], unique=False)
    op.create_index(
        "ix_records_machine",
        "records",
        ["machine"],
        unique=False,
        sqlite_where=sa.text("machine IS NOT NULL"),
        postgresql_where=sa.text("machine IS NOT NULL"),
    )
    op.create_index("ix_records_record_id", "records", ["record_id"], unique=True)
    op.create_table(
        "strangers",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("gateway", "domain", "host", "port", name=op.f("pk_strangers")),
    )


def downgrade() -> None:
    """Change them back."""

    op.drop_table("strangers")
    op.drop_table("records")
    op.drop_table("machines")

    op.drop_table("machine_cmids")
    op.drop_table("hourly_failures")
    op.drop_table("hourly_activity")
    op.drop_table("forwarding")
    op.drop_table("facts")

    op.drop_table("events")
