"""Places in the configuration, and their lines in a file."""

from __future__ import annotations

import re

#: The place of a value in the configuration: ("gateway", "pool", "floor").
Place = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")


def line_numbers(text: str) -> dict[Place, int]:
    """The line of each section and key in a TOML text with the usual layout: one header or key on each line.

    In another layout (inline tables), a value has the line of what contains it.
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
