"""Maintenance of a store: retention, forgetting, backup, verification."""
