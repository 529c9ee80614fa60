"""An event as PowerShell's Format-List shows it: names and values, with the colons below each other.

The order is the object's: Get-WinEvent's list begins with the chosen properties or with the text, Get-EventLog's has
the text in the middle. Text longer than the window is wrapped at a space, which is lost, or within a word if there is
none. So the values in the text are put together again in the only way in which each has the form of its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

from kmstwist.audit.events.interpret import facts_of
from kmstwist.audit.events.model import KMS_EVENTS, EventError

# The most lines that the values in a text may be wrapped into: a window has at least forty columns.
_MOST_LINES = 6

_NAME = re.compile(r" *[A-Za-z][\w.-]* *")
_LABELLED = re.compile(r"( *[A-Za-z][\w.-]* +):(?: |\Z)")
_VALUES = re.compile(r"(?:0x[0-9A-Fa-f]{1,8}|-?\d{1,10})\s*,")
# Lists, of which only the first few are shown.
_SHORTENED = frozenset({"ReplacementStrings", "Properties", "InsertionStrings"})


def shown_as_list(block: Sequence[str]) -> dict[str, str] | None:
    """The names and values in these lines; None if they are not such a list."""
    first = next((line for line in block if line.strip()), "")
    if (label := _LABELLED.match(first)) is None:
        return None
    column = label.end(1)
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for line in block:
        if line[column : column + 1] == ":" and _NAME.fullmatch(line[:column]) is not None:
            values = found.setdefault(line[:column].strip(), [])
            values.append(line[column + 1 :].strip())
        elif line[:1].isspace() or not line:
            values.append(line.strip())
        else:
            return None
    if len(found) < 3:
        return None
    return {name: "\n".join(lines).strip() for name, lines in found.items() if name not in _SHORTENED}


def put_together(event_id: int, text: str) -> str:
    """An event's text without the line ends that Format-List put into its values."""
    if event_id not in KMS_EVENTS:
        return text
    return next((each for each in _ways(text) if _is_told(event_id, each)), text)


def _ways(text: str) -> Iterator[str]:
    lines = text.split("\n")
    begin = next((at for at, line in enumerate(lines) if _VALUES.match(line) is not None), len(lines))
    wrapped = lines[begin:]
    if 2 <= len(wrapped) <= _MOST_LINES:
        for gaps in product(("", " "), repeat=len(wrapped) - 1):
            joined = wrapped[0] + "".join(f"{gap}{line}" for gap, line in zip(gaps, wrapped[1:], strict=True))
            yield "\n".join((*lines[:begin], joined))
    # Last, since otherwise an optional value would seem to be left out.
    yield text


def _is_told(event_id: int, text: str) -> bool:
    try:
        facts_of(event_id, (), text)
    except EventError:
        return False
    return True
