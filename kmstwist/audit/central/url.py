"""The URL of a central store, as a configuration names it."""

from __future__ import annotations


def wrong_in_url(text: str) -> str | None:
    """What is wrong with a URL of a PostgreSQL, without quoting any of it; None if nothing is wrong."""
    # Imported here: the settings are read by commands that open no store.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not text.startswith(("postgresql://", "postgresql+psycopg://")):
        return "is not a URL of a PostgreSQL"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # If a password has a character that must be written as %40 or the like, the parser looks for the port in it.
        return "has a port that is not a number, or a user or password with a character to be written as %XX"
    if "@" in (url.host or "") or "@" in (url.database or ""):
        return "has an @ in its user or password that must be written as %40"
    if url.port is not None and not 1 <= url.port <= 65535:
        return "has a port that is not from 1 to 65535"
    return None
