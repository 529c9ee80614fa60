"""Filters in WQL, the language of WMI queries: `PartialProductKey IS NOT NULL AND Name LIKE 'Windows%'`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from kmstwist.lab.windows.cim import Instance, Value

Test = Callable[[Instance], bool]
_TOKEN = re.compile(
    r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(<>|!=|<=|>=|=|<|>|\(|\))|(-?\d+)\b|([A-Za-z_]\w*))"""
)
_QUERY = re.compile(r"^\s*select\s+(.+?)\s+from\s+(\w+)(?:\s+where\s+(.+))?\s*$", re.IGNORECASE | re.DOTALL)


class WqlError(ValueError):
    """A filter or a query that is not understood; the text says where."""


def query(text: str) -> tuple[list[str], str, Test]:
    """The properties of a SELECT (none for `*`), its class, and its WHERE as a test."""
    found = _QUERY.match(text)
    if found is None:
        raise WqlError(f"{text!r} is not a query; a query has properties, a class and optionally a filter")
    names = [name.strip() for name in found[1].split(",")]
    return ([] if names == ["*"] else names), found[2], condition(found[3]) if found[3] else lambda instance: True


def condition(text: str) -> Test:
    """A WHERE clause as a test of instances. Raises `WqlError`."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise WqlError(f"not understood: {text[at:].strip()[:40]!r} in the filter {text!r}")
            kind = next(name for name, part in zip("sonw", found.groups(), strict=True) if part is not None)
            self._tokens.append((kind, next(part for part in found.groups() if part is not None)))
            at = found.end()
        self._at = 0
        self._text = text

    def whole(self) -> Test:
        test = self._either()
        if self._at < len(self._tokens):
            raise WqlError(f"{self._tokens[self._at][1]!r} is unexpected in the filter {self._text!r}")
        return test

    def _word(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1].lower() == word:
            self._at += 1
            return True
        return False

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise WqlError(f"the filter ends too soon: {self._text!r}")
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._word("or"):
            tests.append(self._both())
        return lambda instance: any(test(instance) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._word("and"):
            tests.append(self._one())
        return lambda instance: all(test(instance) for test in tests)

    def _one(self) -> Test:
        if self._word("not"):
            denied = self._one()
            return lambda instance: not denied(instance)
        if self._word("("):
            inner = self._either()
            if not self._word(")"):
                raise WqlError(f"a bracket is not closed in the filter {self._text!r}")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        kind, name = self._next()
        if kind != "w":
            raise WqlError(f"{name!r} is not a property in the filter {self._text!r}")
        denied = False
        operator = self._next()[1].lower()
        if operator == "is":
            denied, operator = self._word("not"), "="
        elif operator == "not":
            denied, operator = True, self._next()[1].lower()
        kind, text = self._next()
        wanted: Value = {"null": None, "true": True, "false": False}.get(text.lower(), text) if kind == "w" else text
        if kind == "s":
            wanted = re.sub(r"\\(.)", r"\1", text[1:-1])
        if operator not in _OPERATORS:
            raise WqlError(f"{operator!r} is not a comparison in the filter {self._text!r}")
        compare = _OPERATORS[operator]
        return lambda instance: compare(instance.get(name), wanted) != denied


def comparable(value: Value) -> str | int | None:
    """A value in the form for comparisons: numbers as numbers, texts in one case."""
    if value is None or isinstance(value, int):
        return None if value is None else int(value)
    text = value.isoformat() if isinstance(value, datetime) else value
    return int(text) if re.fullmatch(r"-?\d{1,12}", text) else text.lower()


def _same(value: Value, wanted: Value) -> bool:
    left, right = comparable(value), comparable(wanted)
    return left == right if type(left) is type(right) else str(left).lower() == str(right).lower()


def _like(value: Value, wanted: Value) -> bool:
    pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in str(wanted))
    return value is not None and re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None


def _order(value: Value, wanted: Value, accept: Callable[[int], bool]) -> bool:
    left, right = comparable(value), comparable(wanted)
    if left is None or right is None:
        return False
    if isinstance(left, int) and isinstance(right, int):
        return accept((left > right) - (left < right))
    return accept((str(left) > str(right)) - (str(left) < str(right)))


_OPERATORS: dict[str, Callable[[Value, Value], bool]] = {
    "=": _same,
    "<>": lambda value, wanted: not _same(value, wanted),
    "!=": lambda value, wanted: not _same(value, wanted),
    "like": _like,
    "<": lambda value, wanted: _order(value, wanted, lambda side: side < 0),
    "<=": lambda value, wanted: _order(value, wanted, lambda side: side <= 0),
    ">": lambda value, wanted: _order(value, wanted, lambda side: side > 0),
    ">=": lambda value, wanted: _order(value, wanted, lambda side: side >= 0),
}
