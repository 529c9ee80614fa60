"""Columns that nobody read go, and a note says from when on each row of the sums follows from the records.

The upgrade to revision 0002 kept older sums as they were known, so those of that time cannot be computed anew.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_MACHINES = ("version", "license_status", "minutes_left", "required_count", "last_reason")


def upgrade() -> None:
    """Change the tables."""
    op.execute(
        "INSERT INTO facts (name, value) SELECT 'sums exact after', CAST(at AS VARCHAR) FROM "
        "(SELECT at FROM records ORDER BY record_id DESC LIMIT 1) AS newest"
    )
    for column in _OF_MACHINES:
        op.drop_column("machines", column)
    # It was never written.
    op.drop_column("records", "admission_ms")


def downgrade() -> None:
    """There is no way back but the backup that was made before the upgrade: what the columns held is gone."""
    raise NotImplementedError("put the backup that was made before the upgrade in the store's place")
