"""Indexes by which one machine's calls are found in whatever case its name was told, and a network's machines.

The index of names was one by their letters as they came, and so had to be read from end to end.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them; a million records take about a second."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    name = sa.text("machine COLLATE NOCASE" if sqlite else "lower(machine)")
    op.drop_index("ix_records_machine", table_name="records")
    op.create_index(
        "ix_records_machine",
        "records",
        [name, "at"],
        unique=False,
        sqlite_where=sa.text("machine IS NOT NULL"),
        postgresql_where=sa.text("machine IS NOT NULL"),
    )
    op.create_index("ix_machines_network", "machines", ["network"], unique=False)


def downgrade() -> None:
    """Back to the index of names as they came."""
    op.drop_index("ix_machines_network", table_name="machines")
    op.drop_index("ix_records_machine", table_name="records")
    op.create_index(
        "ix_records_machine",
        "records",
        ["machine"],
        unique=False,
        sqlite_where=sa.text("machine IS NOT NULL"),
        postgresql_where=sa.text("machine IS NOT NULL"),
    )
