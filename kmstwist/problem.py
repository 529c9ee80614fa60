"""What is wrong, where, and what to do about it: three things, kept apart until somebody is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong; `cure` is what to do about it and `where` its place (a file, an option), each empty if unknown."""

    what: str
    cure: str = ""
    where: str = ""

    def __str__(self) -> str:
        """All three in one sentence, without a full stop."""
        return f"{self.placed}; {self.cure}" if self.cure else self.placed

    @property
    def placed(self) -> str:
        """What is wrong, behind its place."""
        return f"{self.where}: {self.what}" if self.where else self.what

    @classmethod
    def of(cls, error: BaseException, where: str = "", cure: str = "") -> Problem:
        """What an error says. `where` is put before its own place; `cure` is used where it has none."""
        problem = error.problem if isinstance(error, ProblemError) else cls(str(error))
        place = ": ".join(part for part in (where, problem.where) if part)
        return cls(problem.what, problem.cure or cure, place)


class ProblemError(Exception):
    """Something cannot be done, for a reason that somebody can do something about."""

    def __init__(self, what: str, cure: str = "", where: str = "") -> None:
        self.problem = Problem(what, cure, where)
        super().__init__(str(self.problem))

    @classmethod
    def of(cls, error: BaseException, where: str = "", cure: str = "") -> Self:
        """The same problem as another error's, of this kind; `where` and `cure` as in `Problem.of`."""
        problem = Problem.of(error, where, cure)
        return cls(problem.what, problem.cure, problem.where)


class WrongValue(ProblemError, ValueError):
    """A text or value that is not what it should be: a `ValueError`, as validators and options take it."""
