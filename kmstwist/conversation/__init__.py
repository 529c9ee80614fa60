"""A client's connection: bytes come in, calls are answered, log lines are written."""
