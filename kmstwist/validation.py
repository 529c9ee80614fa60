"""What pydantic finds wrong with a value, in our words: for the configuration and for a fleet's scenarios."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from kmstwist.problem import Problem
from kmstwist.shown import visible

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "model_type": "a section of its own",
    "finite_number": "a finite number",
}


def causes(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """These mistakes without those that only follow from others: a list is short because its entries were refused."""
    return [
        details
        for details in errors
        if details["type"] != "too_short" or not any(_is_within(other, details) for other in errors)
    ]


def _is_within(one: ErrorDetails, other: ErrorDetails) -> bool:
    outer = other["loc"]
    return len(one["loc"]) > len(outer) and one["loc"][: len(outer)] == outer


def problem_of(details: ErrorDetails, given: str | None = None) -> Problem:
    """What a value must be and what it is, without its place: "must be at least 15, not 1".

    `given` is how the value is shown, where it is not to be shown as it is; empty where it is not to be shown at all.
    """
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "value_error":
            return Problem.of(context["error"])
        case "too_short":
            return Problem("must name at least one")
        case "string_too_short":
            return Problem("must not be empty")
        case "string_too_long":
            length = len(str(details["input"]))
            return Problem(f"must have at most {context['max_length']} characters, not {length}")
        case "string_pattern_mismatch":
            wanted = f"must match the pattern {context['pattern']}"
        case "literal_error":
            wanted = f"must be one of {context['expected'].replace(chr(39), '')}"
        case _ if kind in _BOUNDS:
            name, words = _BOUNDS[kind]
            wanted = f"must be {words} {context[name]:g}"
        case _ if kind in _WANTED:
            wanted = f"must be {_WANTED[kind]}"
        case _:
            wanted = f"{details['msg'][:1].lower()}{details['msg'][1:]}"
    given = shown(details["input"]) if given is None else given
    if kind in ("int_type", "float_type") and _has_unit(details["input"]):
        cure = "write the number alone, in the unit that docs/reference/configuration.md gives"
        return Problem(f"{wanted}, not {given}" if given else wanted, cure)
    return Problem(f"{wanted}, not {given}" if given else wanted)


def _has_unit(value: object) -> bool:
    """Whether it is a number with a unit behind it, as in "30s"."""
    return isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*[a-zA-Z]+\s*", value) is not None


def shown(value: object) -> str:
    """A value as a file has it, shortened."""
    not_finite = isinstance(value, float) and not math.isfinite(value)
    text = str(value) if not_finite else visible(json.dumps(value, default=str, ensure_ascii=False))
    return text if len(text) <= 60 else text[:57] + "..."
