"""What the sections of the configuration have in common: their base, and how values contradict each other.

Each room has its own section; `kmstwist.configuration` puts them together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from kmstwist.networks import Network, parse_network
from kmstwist.problem import Problem

# pydantic hands each model to the plugins that it finds among the installed packages, and reads what each of those says
# of itself to find any. Plugins must not see the configuration, which may contain passwords.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Seconds = Annotated[float, Field(ge=0.1, le=86_400)]
CidrNetwork = Annotated[Network, BeforeValidator(parse_network)]

#: Marks a field, as its `json_schema_extra`, whose value holds secrets: it is shown nowhere, even where it is wrong.
SECRET: dict[str, Any] = {"secret": True}


class NeedsRestart:
    """Marks a value, or a whole section, that cannot change while the process runs: `Annotated[int, RESTART]`."""


RESTART = NeedsRestart()


def needs_restart(info: FieldInfo) -> bool:
    """Whether a field's value, or all that is in its section, cannot change while the process runs."""
    return RESTART in info.metadata


def is_secret(info: FieldInfo) -> bool:
    """Whether a field's value is to be shown nowhere."""
    return info.json_schema_extra == SECRET


@dataclass(frozen=True, slots=True)
class Fault:
    """What values say against each other, and the cure.

    `places` are theirs within the section, first the one to change.
    """

    said: str
    cure: str
    places: tuple[tuple[str, ...], ...]


class Contradictions(ValueError):
    """All that values of a section say against each other, for a validator to raise at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(Problem(fault.said, fault.cure)) for fault in self.faults))


class Section(BaseModel):
    """A table of the configuration file: it takes no names it does not know, and never changes.

    The docstring of each one says what its section is for, in the installed file and in the reference.
    """

    # What checks values is made when something is checked first: once for the whole file, not for each section too.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @classmethod
    def untouched(cls) -> Self:
        """The section with all its defaults, for one that it is in. Nothing is checked, nor made to check it."""
        return cast("Self", cls.model_construct())
