"""What is wrong with a configuration, apart from what finds it: who only tells it need not load the model."""

from __future__ import annotations

from collections.abc import Sequence

from kmstwist.problem import Problem


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` are all that is wrong with it. Its text has a line for each."""

    def __init__(self, mistakes: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)
