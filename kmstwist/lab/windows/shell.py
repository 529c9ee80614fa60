"""The interface between the reader of scripts and what runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol


class PowerShellError(Exception):
    """A script is not understood, or fails; the text says where or why."""


class Shell(Protocol):
    """What the functions of a script run on: values, variables and commands."""

    stopped: bool
    """Whether the script has ended itself."""

    def leave(self, values: list[Any], *, ends: bool) -> list[Any]:
        """End the script: with a code if it `ends` by exit, otherwise with its last values."""

    def fail(self, what: Any) -> NoReturn:
        """End with an error."""

    def assign(self, name: str, values: list[Any]) -> list[Any]:
        """Set a variable to a pipeline's values."""

    def variable(self, name: str) -> Any:
        """A variable's value; nothing if it was never set."""

    def single(self, values: list[Any]) -> Any:
        """A pipeline's values as one value: nothing, the only one, or the list."""

    def spread(self, value: Any) -> list[Any]:
        """The values that a value puts into a pipeline."""

    def truth(self, value: Any) -> bool:
        """Whether a value counts as true."""

    def text(self, value: Any) -> str:
        """A value in a string."""

    def cast(self, kind: str, value: Any) -> Any:
        """A value converted to another type."""

    def member(self, value: Any, name: str) -> Any:
        """A property of a value, or of each value in a list."""

    def indexed(self, value: Any, index: Any) -> Any:
        """One of a list."""

    def method(self, value: Any, name: str, arguments: list[Any]) -> Any:
        """Call a method of an instance or of a string."""

    def compare(self, operator: str, left: Any, right: Any) -> Any:
        """A comparison; with a list on the left, the values for which it is true."""

    def command(self, name: str, arguments: Arguments, items: list[Any] | None) -> list[Any]:
        """Run a command on its pipeline input."""


Code = Callable[[Shell], Any]
"""A part of a script: a function that returns a value, or the list of values for the pipeline."""
Arguments = list[tuple[str, Code | None]]
"""A command's arguments: a parameter's name ("" for none) and a value, or a name alone."""


@dataclass(slots=True)
class Parameters:
    """A command's arguments: those with names, and the others in order."""

    named: dict[str, Any] = field(default_factory=dict)
    others: list[Any] = field(default_factory=list)

    def take(self, *names: str, at: int | None = None, default: Any = None) -> Any:
        """The value of the parameter with one of these names, which may be shortened, else the unnamed argument at a
        position.
        """
        for given, value in self.named.items():
            if any(name.startswith(given) for name in names):
                return value
        return self.others[at] if at is not None and at < len(self.others) else default
