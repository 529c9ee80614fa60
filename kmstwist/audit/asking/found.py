"""One machine's records, by the index that leads to them in its database.

In SQLite an index has an address, or a name, only within a block of records (`schema.BLOCK`), so that the entries of a
batch stand on a few of the store's pages. It is searched once for each block, the newest first, which takes 2 ms for
five million records. A record with a name is in the index of names, any other in that of addresses.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Connection, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType

from kmstwist.audit.asking.limits import MOST
from kmstwist.audit.schema import BLOCK, records

_NO_LIMIT: Final = -1

# CROSS JOIN is SQLite's word for joining in the order that is written.
_IN_BLOCKS: Final = f"""WITH RECURSIVE blocks(block) AS (
    SELECT max(seq) / {BLOCK} FROM records
    UNION ALL SELECT block - 1 FROM blocks WHERE block > (SELECT min(seq) / {BLOCK} FROM records)
) SELECT found.seq FROM blocks CROSS JOIN records AS found WHERE found.seq / {BLOCK} = blocks.block"""  # noqa: S608


class _Condition(FunctionElement[bool]):
    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> _Condition:
        """Itself: SQLAlchemy would compare it with 1 in SQLite, which has no truth values, and no index would serve."""
        return self


class _Machines(_Condition):
    """The records that have one of these values; in SQLite, with `most`, that many of them at most."""

    inherit_cache = True

    def __init__(self, *values: Any, most: int = _NO_LIMIT) -> None:
        super().__init__(records.c.seq, literal(most), *values)

    @property
    def plain(self) -> ColumnElement[bool]:
        """The same condition by comparing each record, whatever `most`."""
        raise NotImplementedError

    def values(self) -> list[ColumnElement[Any]]:
        """The names, or addresses."""
        return list(self.clauses)[2:]

    def texts(self, compiler: SQLCompiler, options: dict[str, object]) -> tuple[str, str, str]:
        """The column that tells records apart, how many are wanted, and the values, in SQL."""
        seq, most, *values = [compiler.process(each, **options) for each in self.clauses]
        # A parameter that is a list has its parentheses.
        return seq, most, values[0] if values[0].startswith("(") else f"({', '.join(values)})"


def _one_of(column: ColumnElement[Any], values: list[ColumnElement[Any]]) -> ColumnElement[bool]:
    first = values[0]
    return column.in_(first if isinstance(first, BindParameter) and first.expanding else values)


class from_address(_Machines):
    """The records without a name of calls from these addresses."""

    inherit_cache = True

    @property
    def plain(self) -> ColumnElement[bool]:
        """By comparing each."""
        return records.c.machine.is_(None) & _one_of(records.c.client, self.values())


class of_machine(_Machines):
    """The records with one of these names of a machine, in any case. The names are ASCII, in lower case.

    Only A to Z are folded, as SQLite's index does. A name with other letters must be compared with `lower`.
    """

    inherit_cache = True

    @property
    def plain(self) -> ColumnElement[bool]:
        """By comparing each."""
        return records.c.machine.is_not(None) & _one_of(func.lower(records.c.machine), self.values())


def narrowed(connection: Connection, condition: _Machines) -> ColumnElement[bool]:
    """The same condition, for a statement that reads records in the order of `seq` or of their ids and stops early."""
    if connection.dialect.name != "sqlite":
        return condition
    some = type(condition)(*condition.values(), most=MOST + 1)
    found = connection.scalars(select(records.c.seq).where(some)).all()
    return records.c.seq.in_(found) if len(found) <= MOST else condition.plain


class recorded_at(_Condition):
    """The records of a time (milliseconds since 1970); in SQLite by their ids, which begin with it."""

    inherit_cache = True

    def __init__(self, at: int | ColumnElement[int]) -> None:
        time = literal(at, BigInteger()) if isinstance(at, int) else at
        super().__init__(records.c.record_id, records.c.at, time)


@compiles(from_address)
def _by_block_and_address(element: from_address, compiler: SQLCompiler, **options: object) -> str:
    seq, most, values = element.texts(compiler, options)
    return f"{seq} IN ({_IN_BLOCKS} AND found.machine IS NULL AND found.client IN {values} LIMIT {most})"


@compiles(of_machine)
def _by_block_and_name(element: of_machine, compiler: SQLCompiler, **options: object) -> str:
    seq, most, values = element.texts(compiler, options)
    named = f"found.machine IS NOT NULL AND found.machine COLLATE NOCASE IN {values}"
    return f"{seq} IN ({_IN_BLOCKS} AND {named} LIMIT {most})"


@compiles(from_address, "postgresql")
@compiles(of_machine, "postgresql")
def _by_index_in_order(element: _Machines, compiler: SQLCompiler, **options: object) -> str:
    return f"({compiler.process(element.plain, **options)})"


@compiles(recorded_at)
def _by_id(element: recorded_at, compiler: SQLCompiler, **options: object) -> str:
    record_id, _, at = [compiler.process(each, **options) for each in element.clauses]
    # `engine` makes the function in each connection.
    return f"({record_id} >= first_id_at({at}) AND {record_id} < first_id_at({at} + 1))"


@compiles(recorded_at, "postgresql")
def _by_time(element: recorded_at, compiler: SQLCompiler, **options: object) -> str:
    _, column, at = [compiler.process(each, **options) for each in element.clauses]
    return f"{column} = {at}"
