"""Reading TOML that somebody else wrote: what is absurd is a mistake like any other, and ends soon.

The standard library's reader goes as deep as a document does, until Python stops it, and works long on a key of too
many parts; its error for a number of too many digits is Python's own.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

#: The most dots before the equals sign of a line: no option has a key of more parts.
_MOST_DOTS: Final = 100
#: Keys of one table. Somebody who names products may have hundreds.
_MOST_KEYS: Final = 5000


def read_toml(text: str) -> dict[str, Any]:
    """The document. Raises `tomllib.TOMLDecodeError` for whatever is wrong with it."""
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, _ = line.partition("=")
        if (equals or key.lstrip().startswith("[")) and key.count(".") > _MOST_DOTS:
            raise tomllib.TOMLDecodeError(f"a key of too many parts (at line {number}, column 1)")
    try:
        return _checked(tomllib.loads(text))
    except RecursionError:
        raise tomllib.TOMLDecodeError("arrays or tables nested too deeply to be read") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise tomllib.TOMLDecodeError("a number or date that is invalid, or has too many digits") from None


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document, if none of its tables has far too many keys, and its numbers are TOML's.

    Of those that are not decimal Python takes any, and cannot show it.
    """
    within: list[object] = [document]
    while within:
        each = within.pop()
        if isinstance(each, dict):
            if len(each) > _MOST_KEYS:
                raise tomllib.TOMLDecodeError(f"a table of more than {_MOST_KEYS} keys")
            within += each.values()
        elif isinstance(each, list):
            within += each
        elif isinstance(each, int) and not -(1 << 63) <= each < 1 << 63:
            raise tomllib.TOMLDecodeError("a number of more than 64 bits")
    return document
