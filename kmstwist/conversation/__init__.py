"""A client's connection: bytes in, a call answered, its line written."""
