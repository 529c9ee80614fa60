"""Asking a store one of the questions in `statements`, over SQLAlchemy's connection or SQLite's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from kmstwist.audit.asking.limits import Condition
from kmstwist.audit.asking.plain_sqlite import PlainConnection

# What reads a file by SQLite's own module loads none of it.
if TYPE_CHECKING:
    from sqlalchemy import Connection

    Reader: TypeAlias = Connection | PlainConnection


class Answer(Protocol):
    """The rows that answer a question. Close it if they are not read to the end."""

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None:
        """Read no more of them."""


def ask(reader: Reader, question: str, where: Sequence[Condition] = (), **values: Any) -> Answer:
    """The rows that answer a question, each a tuple.

    `where` limits the rows of a question that takes conditions, `values` are the question's own parameters. Raises what
    the database's driver raises, over SQLAlchemy as that wraps it.
    """
    if isinstance(reader, PlainConnection):
        every = dict(values)
        for each in where:
            every |= each.values
        return reader.ask(question, [(each.table, each.name) for each in where], every)
    from kmstwist.audit.asking.statements import statement

    return reader.execute(statement(question, where, values))


def value(reader: Reader, question: str, where: Sequence[Condition] = (), **values: Any) -> Any:
    """The first column of the first row; None without a row. Raises as `ask`."""
    answer = ask(reader, question, where, **values)
    row = next(iter(answer), None)
    answer.close()
    return None if row is None else row[0]


def column(reader: Reader, question: str, where: Sequence[Condition] = (), **values: Any) -> Iterator[Any]:
    """The first column of all rows. Raises as `ask`."""
    return (row[0] for row in ask(reader, question, where, **values))


def read_fact(reader: Reader, name: str) -> str | None:
    """A fact about the store; None if it was never written."""
    found: str | None = value(reader, "fact", name=name)
    return found
