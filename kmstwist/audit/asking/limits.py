"""What limits the rows of a question: conditions by their names, and the values of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Follows the name of a condition on text that is not of A to Z: SQLite's LIKE ignores the case of no other letter.
FOLDED: Final = " folded"
#: How many events the statements "events alike" and "the same events" ask for.
ASKED: Final = 50
#: The conditions by which a machine's records are known: its name, one with letters other than A to Z, its address.
A_NAME, ANY_NAME, AN_ADDRESS = "of a name", "of any name", "of an address"
#: Follows one of them, where only those of an hour are wanted.
IN_THE_HOUR: Final = ", in an hour"
#: How many of a machine's records SQLite puts in order of time. Where there are more, it reads all machines' records in
#: that order, and soon meets some of them.
MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of `conditions` on the rows of a table, and the values of its parameters."""

    table: str
    name: str
    values: Mapping[str, Any]


def like(table: str, name: str, text: str) -> Condition:
    """The condition that a text matches the pattern: `*` stands for any text, and case does not count.

    The parameter has the condition's name.
    """
    escaped = as_pattern(text)
    return Condition(table, name if escaped.isascii() else name + FOLDED, {parameter(name): escaped})


def as_pattern(text: str) -> str:
    """A text in which `*` stands for any text, as SQL's LIKE takes it with a backslash to escape."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")


def parameter(name: str) -> str:
    """What the parameter of a condition is called."""
    return name.replace(" ", "_")


def standing_records(condition: str, *, newest_first: bool) -> str:
    """The statement that selects the records that meet a condition of `SummaryTable.standing`, in order of time."""
    return f"records {condition}, {'newest' if newest_first else 'oldest'} first"


def places_of(condition: str) -> str | None:
    """The statement for SQLite that finds where they stand (their `seq`), whatever their hour, up to one more than
    `MOST`; None where no index leads to them."""
    whose, _, _ = condition.partition(IN_THE_HOUR)
    return None if whose == ANY_NAME else f"places of records {whose}"
