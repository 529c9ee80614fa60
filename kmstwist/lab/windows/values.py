"""PowerShell's values: truth, equality, properties of lists; and a script's variables."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from kmstwist.lab.windows import printing
from kmstwist.lab.windows.cim import Instance
from kmstwist.lab.windows.shell import Arguments, PowerShellError


class Matched(str):
    """A line that Select-String found: the text, and its pattern's match."""

    found: re.Match[str]

    def __new__(cls, line: str, found: re.Match[str]) -> Matched:
        """A line and what was found in it."""
        made = super().__new__(cls, line)
        made.found = found
        return made

    @property
    def properties(self) -> dict[str, object]:
        """Its properties as PowerShell's scripts ask for them."""
        return {"Line": str(self), "Matches": as_groups(self.found), "Pattern": self.found.re.pattern}


def as_groups(found: re.Match[str]) -> dict[str, object]:
    """A match with its groups."""
    values = [found[0], *found.groups()]
    return {"Value": found[0], "Groups": [{"Value": value or ""} for value in values]}


class Values(ABC):
    """The values, variables and commands that the functions of a script run on."""

    def __init__(self, variables: dict[str, object] | None = None) -> None:
        self._variables: dict[str, object] = {"true": True, "false": False, "null": None, "lastexitcode": 0}
        self._variables |= variables or {}
        self.stopped = False

    @abstractmethod
    def command(self, name: str, arguments: Arguments, items: list[object] | None) -> list[object]:
        """Run a command on its pipeline input."""

    @abstractmethod
    def invoke(self, instance: Instance, method: str, arguments: list[str]) -> None:
        """Call an instance's method."""

    def leave(self, values: list[object], *, ends: bool) -> list[object]:
        """End the script: with a code if it `ends` by exit, otherwise with its last values."""
        self.stopped = True
        if not ends:
            return values
        self._variables["lastexitcode"] = self.cast("int", self.single(values))
        return []

    def fail(self, what: object) -> NoReturn:
        """End with an error."""
        raise PowerShellError(self.text(what))

    def assign(self, name: str, values: list[object]) -> list[object]:
        """Set a variable to a pipeline's values."""
        self._variables[_plain(name)] = self.single(values)
        return []

    def variable(self, name: str) -> object:
        """A variable's value; nothing if it was never set."""
        return self._variables.get(_plain(name))

    def single(self, values: list[object]) -> object:
        """A pipeline's values as one value: nothing, the only one, or the list."""
        return None if not values else values[0] if len(values) == 1 else values

    def spread(self, value: object) -> list[object]:
        """The values that a value puts into a pipeline."""
        return [] if value is None else list(value) if isinstance(value, list) else [value]

    def truth(self, value: object) -> bool:
        """Whether a value counts as true."""
        return self.truth(value[0]) if isinstance(value, list) and len(value) == 1 else bool(value)

    def text(self, value: object) -> str:
        """A value in a string."""
        return " ".join(printing.shown(one) for one in self.spread(value))

    def cast(self, kind: str, value: object) -> object:
        """A value converted to another type."""
        if kind in ("int", "int32", "uint32", "long", "int64"):
            return int(number(value))
        if kind == "void":
            return None
        if kind in ("bool", "boolean"):
            return self.truth(value)
        if kind == "string":
            return self.text(value)
        return self.spread(value) if kind.endswith("[]") or kind == "array" else value

    def _calculate(self, operator: str, left: object, right: object) -> object:
        if operator == "+" and isinstance(left, list):
            return [*left, *self.spread(right)]
        if operator == "+" and (isinstance(left, str) or left is None):
            return right if left is None else left + self.text(right)
        try:
            a, b = number(left), number(right)
        except (TypeError, ValueError):
            raise PowerShellError(f"{self.text(left)!r} and {self.text(right)!r} are not numbers") from None
        if operator in "/%" and b == 0:
            raise PowerShellError("Attempted to divide by zero.")
        found = {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1), "%": math.fmod(a, b or 1)}[operator]
        return int(found) if found.is_integer() else found

    def member(self, value: object, name: str) -> object:
        """A property of a value, or of each value in a list."""
        if name.lower() in ("count", "length") and not _has(value, name):
            # One thing counts as one, and nothing as none.
            if isinstance(value, list) or (isinstance(value, str) and name.lower() == "length"):
                return len(value)
            return 0 if value is None else 1
        if isinstance(value, list):
            return self.single([found for one in value for found in self.spread(self.member(one, name))])
        if isinstance(value, Instance):
            return value.get(name)
        if isinstance(value, Matched):
            value = value.properties
        if isinstance(value, dict):
            return next((found for key, found in value.items() if key.lower() == name.lower()), None)
        return None

    def indexed(self, value: object, index: object) -> object:
        """One of a list."""
        if isinstance(value, dict):
            return value.get(index)
        items = self.spread(value) if not isinstance(value, str) else list(value)
        return items[index] if isinstance(index, int) and -len(items) <= index < len(items) else None

    def method(self, value: object, name: str, arguments: list[object]) -> object:
        """Call a method of an instance or of a string."""
        if isinstance(value, list):
            return self.single([found for one in value for found in self.spread(self.method(one, name, arguments))])
        if name.startswith("math."):
            return _calculated(name[5:], arguments)
        if isinstance(value, Instance):
            self.invoke(value, name, [self.text(argument) for argument in arguments])
            return {"ReturnValue": 0}
        text, texts = self.text(value), [self.text(argument) for argument in arguments]
        simple: dict[str, Callable[..., object]] = {
            "tolower": text.lower,
            "toupper": text.upper,
            "substring": lambda at, many="": text[int(at) :][: int(many) if many else None],
            "tostring": lambda *form: printing.formatted(value, form[0]) if form else text,
            "trim": lambda *what: text.strip(*what),
            "contains": lambda part: part in text,
            "startswith": text.startswith,
            "endswith": text.endswith,
            "replace": text.replace,
            "split": lambda part: text.split(part),
        }
        if name.lower() not in simple:
            raise PowerShellError(f"the lab's shim does not know the method {name}()")
        return simple[name.lower()](*texts)

    def compare(self, operator: str, left: object, right: object) -> object:
        """A comparison; with a list on the left, the values for which it is true."""
        if operator == "join":
            return self.text(right).join(printing.shown(one) for one in self.spread(left))
        if operator in "+-*/%":
            return self._calculate(operator, left, right)
        if operator == "replace":
            pattern, with_ = [*self.spread(right), ""][:2]
            return re.sub(self.text(pattern), self.text(with_), self.text(left), flags=re.IGNORECASE)
        if operator == "split":
            return re.split(self.text(right), self.text(left))
        if operator == "f":
            return printing.composed(self.text(left), self.spread(right))
        if operator in ("contains", "in", "notcontains", "notin"):
            items, one = (left, right) if "contains" in operator else (right, left)
            return any(_holds("eq", each, one) for each in self.spread(items)) != operator.startswith("not")
        if isinstance(left, list):
            return [one for one in left if _holds(operator, one, right)]
        if operator == "match" and (found := re.search(self.text(right), self.text(left), re.IGNORECASE)):
            groups: dict[str, object] = dict(enumerate([found[0], *found.groups()]))  # type: ignore[arg-type]
            self._variables["matches"] = groups | found.groupdict()
        return _holds(operator, left, right)


def _calculated(name: str, arguments: list[object]) -> object:
    """A static method of [math]."""
    numbers = [number(argument) for argument in arguments]
    if name == "round":
        rounded = round(numbers[0], int(numbers[1]) if len(numbers) > 1 else 0)
    else:
        calculate: dict[str, Callable[..., float]] = {
            "floor": math.floor,
            "ceiling": math.ceil,
            "truncate": math.trunc,
            "max": max,
            "min": min,
            "abs": abs,
        }
        rounded = calculate[name](*numbers)
    return int(rounded) if float(rounded).is_integer() else rounded


def _has(value: object, name: str) -> bool:
    found = printing.properties(value)
    return found is not None and any(key.lower() == name.lower() for key in found)


def _plain(name: str) -> str:
    return name.lower().split(":")[-1] if name.lower().split(":")[0] in ("global", "script", "local") else name.lower()


def _holds(operator: str, left: object, right: object) -> bool:
    if operator.startswith("not"):
        return not _holds(operator[3:], left, right)
    if operator == "ne":
        return not _holds("eq", left, right)
    if operator == "like":
        pattern = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in printing.shown(right))
        return re.fullmatch(pattern, printing.shown(left), re.IGNORECASE | re.DOTALL) is not None
    if operator == "match":
        return re.search(printing.shown(right), printing.shown(left), re.IGNORECASE) is not None
    if left is None or right is None:
        return operator == "eq" and left is right
    order = _order(left, right)
    return {"eq": order == 0, "gt": order > 0, "lt": order < 0, "ge": order >= 0, "le": order <= 0}[operator]


def _order(left: object, right: object) -> int:
    """1 if the left is greater, -1 if it is smaller, 0 if they are equal."""
    if isinstance(left, bool) or isinstance(right, bool):
        return bool(left) - bool(right)
    if isinstance(left, int | float) and isinstance(right, int | float | str):
        try:
            other = float(right)
        except ValueError:
            pass
        else:
            return (left > other) - (left < other)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return (left > right) - (left < right)
    text, other_text = printing.shown(left).lower(), printing.shown(right).lower()
    return (text > other_text) - (text < other_text)


def number(value: object) -> float:
    """A value as a number, 0 for nothing. Raises `TypeError` or `ValueError` for what is not one."""
    if not value:
        return 0.0
    if isinstance(value, int | float | str):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not a number")
