"""What an administrator switched by hand, kept in the state folder: it holds until it is switched back.

A host that is drained for a night's maintenance must get no calls because the gateway was upgraded in that night. Each
of several workers writes the file, and all write the same, since each is given every command; a new file takes the old
one's place whole.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kmstwist.problem import ProblemError
from kmstwist.system.wholefile import write_whole


class SwitchesError(ProblemError):
    """The file cannot be used."""


class Switches(BaseModel):
    """The switches: whether clients are told to come back later, and which upstreams get no calls, by name.

    `pause_at` is when it is to be paused, in seconds since 1970, where somebody asked for that and it has not come yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    paused: bool = False
    drained: frozenset[str] = frozenset()
    pause_at: float | None = None


class SwitchesFile:
    """The switches of the server of one name, mostly its port."""

    def __init__(self, state_dir: Path, name: int | str, former: int | str | None = None) -> None:
        """`former` is the name that an earlier version kept them by: they count until something is switched anew."""
        self._path = state_dir / f"switches-{name}.json"
        self._former = None if former is None else state_dir / f"switches-{former}.json"

    def read(self) -> Switches:
        """What was kept last; nothing is switched where nothing was kept. Raises `SwitchesError`."""
        for path in (self._path, self._former):
            found = None if path is None else _read(path)
            if found is not None:
                return found
        return Switches()

    def write(self, switches: Switches) -> None:
        """Keep these instead. Raises `SwitchesError`."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # An earlier version knows nothing of what is not asked for.
            write_whole(self._path, switches.model_dump_json(exclude_none=True))
        except OSError as error:
            raise SwitchesError(f"{self._path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> Switches | None:
    """The contents of a file; None if there is no file."""
    try:
        return Switches.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SwitchesError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise SwitchesError(f"{path} is damaged", "delete it, and then drain and pause again what should be") from None
