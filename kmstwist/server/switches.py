"""What an administrator switched by hand, kept in the state folder: it holds until it is switched back.

A host that is drained for a night's maintenance must get no calls because the gateway was upgraded in that night. Each
of several workers writes the file, and all write the same, since each is given every command; a new file takes the old
one's place whole.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kmstwist.problem import ProblemError


class SwitchesError(ProblemError):
    """The file cannot be used."""


class Switches(BaseModel):
    """The switches: whether clients are told to come back later, and which upstreams get no calls, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    paused: bool = False
    drained: frozenset[str] = frozenset()


class SwitchesFile:
    """The switches of the server of one name, mostly its port."""

    def __init__(self, state_dir: Path, name: int | str) -> None:
        self._path = state_dir / f"switches-{name}.json"

    def read(self) -> Switches:
        """What was kept last; nothing is switched where nothing was kept. Raises `SwitchesError`."""
        try:
            return Switches.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Switches()
        except OSError as error:
            raise SwitchesError(f"{self._path} cannot be read: {error.strerror}") from None
        except ValidationError:
            raise SwitchesError(f"{self._path} is damaged", "delete it, and switch by hand what should be") from None

    def write(self, switches: Switches) -> None:
        """Keep these instead. Raises `SwitchesError`."""
        new = self._path.with_suffix(f".{os.getpid()}.new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(switches.model_dump_json())
            new.replace(self._path)
        except OSError as error:
            raise SwitchesError(f"{self._path} cannot be written: {error.strerror}") from None
