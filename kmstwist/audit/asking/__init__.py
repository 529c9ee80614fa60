"""The questions that reports put to a store: written once with SQLAlchemy, asked of an SQLite file without it.

`statements` and `conditions` define them. `generate` writes their text for SQLite into `sqlite.sql`, which ships with
the program, so that a command that reads a file need not load SQLAlchemy, which takes longer than most reports;
`sqlite_reader` asks by that text. Over a connection of SQLAlchemy's, PostgreSQL's or a server's, the definitions
themselves are run.
"""
