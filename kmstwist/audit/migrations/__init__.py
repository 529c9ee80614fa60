"""The history of the audit's tables, for Alembic; `kmstwist.audit.migrate` runs it."""
