"""What happened: records, store, reports, imported Windows events."""
