"""Looking after a store: retention, forgetting, backup, verification."""
