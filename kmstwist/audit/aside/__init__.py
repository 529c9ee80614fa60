"""A process beside the server's that commits batches of records while many come."""
