"""The interface between the reader of scripts and what runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol


class PowerShellError(Exception):
    """A script is not understood, or fails; the text says where or why."""


class Shell(Protocol):
    """What the functions of a script run on: values, variables and commands."""

    stopped: bool
    """Whether the script has ended itself."""

    def leave(self, values: list[object], *, ends: bool) -> list[object]:
        """End the script: with a code if it `ends` by exit, otherwise with its last values."""

    def fail(self, what: object) -> NoReturn:
        """End with an error."""

    def assign(self, name: str, values: list[object]) -> list[object]:
        """Set a variable to a pipeline's values."""

    def variable(self, name: str) -> object:
        """A variable's value; nothing if it was never set."""

    def single(self, values: list[object]) -> object:
        """A pipeline's values as one value: nothing, the only one, or the list."""

    def spread(self, value: object) -> list[object]:
        """The values that a value puts into a pipeline."""

    def truth(self, value: object) -> bool:
        """Whether a value counts as true."""

    def text(self, value: object) -> str:
        """A value in a string."""

    def cast(self, kind: str, value: object) -> object:
        """A value converted to another type."""

    def member(self, value: object, name: str) -> object:
        """A property of a value, or of each value in a list."""

    def indexed(self, value: object, index: object) -> object:
        """One of a list."""

    def method(self, value: object, name: str, arguments: list[object]) -> object:
        """Call a method of an instance or of a string."""

    def compare(self, operator: str, left: object, right: object) -> object:
        """A comparison; with a list on the left, the values for which it is true."""

    def command(self, name: str, arguments: Arguments, items: list[object] | None) -> list[object]:
        """Run a command on its pipeline input."""


Code = Callable[[Shell], object]
"""A part of a script: a function that returns a value."""
Pipeline = Callable[[Shell], list[object]]
"""A part of a script: a function that returns the values for the pipeline."""
Arguments = list[tuple[str, Code | None]]
"""A command's arguments: a parameter's name ("" for none) and a value, or a name alone."""


@dataclass(slots=True)
class Parameters:
    """A command's arguments: those with names, and the others in order."""

    named: dict[str, object] = field(default_factory=dict)
    others: list[object] = field(default_factory=list)

    def take(self, *names: str, at: int | None = None, default: object = None) -> object:
        """The value of the parameter with one of these names, which may be shortened, else the unnamed argument at a
        position.
        """
        for given, value in self.named.items():
            if any(name.startswith(given) for name in names):
                return value
        return self.others[at] if at is not None and at < len(self.others) else default
