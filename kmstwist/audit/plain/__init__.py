"""The parts of the audit that need no SQLAlchemy, which a server loads only when it already listens."""
