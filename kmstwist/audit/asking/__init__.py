"""The statements that are put to a store: written once with SQLAlchemy, run on an SQLite file without it.

`statements` and `conditions` are the questions of reports, which are put together from parts. `prepared_statements`
are all others: they are run as they are, by their name (`prepared`). `generate` writes the text of both for SQLite into
`sqlite.sql`, which ships with the program, so that a command that works on a file need not load SQLAlchemy, which takes
longer than most of them; `plain_sqlite` asks by that text, and `transactions` begins and ends transactions on either
kind of store. PostgreSQL is asked by the definitions themselves.
"""
