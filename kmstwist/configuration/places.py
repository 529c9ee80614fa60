"""Places in the configuration, and the lines of a file that they stand in."""

from __future__ import annotations

import re

#: Where a value stands in the configuration: ("gateway", "pool", "floor").
Place = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")


def line_numbers(text: str) -> dict[Place, int]:
    """The line of each section and key in a TOML text that is laid out as usual: one header or key a line.

    What is laid out otherwise (inline tables) is found by the line of what it is in.
    """
    lines: dict[Place, int] = {}
    section: Place = ()
    arrays: dict[Place, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            section = _parts(header.group(1))
            if line.lstrip().startswith("[["):
                index = arrays[section] = arrays.get(section, -1) + 1
                lines.setdefault(section, number)
                section = (*section, str(index))
            lines.setdefault(section, number)
        elif key := _KEY.match(line):
            place = section
            for part in _parts(key.group(1)):
                place = (*place, part)
                lines.setdefault(place, number)
    return lines


def _parts(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
