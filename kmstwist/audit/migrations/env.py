"""Alembic's environment: runs the versions on the connection that `kmstwist.audit.migrate` passes in."""

from __future__ import annotations

from alembic import context

from kmstwist.audit.schema import metadata

# SQLite cannot alter most of a table in place; batch mode rebuilds it.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
