"""The case that `kmstwist doctor` examines, and functions that its checks share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmstwist.configuration.model import Config
from kmstwist.health.running import Running

#: What to do if this user may not see enough.
SUDO = "run kmstwist doctor with sudo"
#: Nothing is known about any server.
NOBODY = Running()


@dataclass(frozen=True, slots=True)
class Case:
    """The configuration and the state folder to examine, and what is known about the running server."""

    config: Config
    file: Path | None
    state_dir: Path
    running: Running = NOBODY

    @property
    def server(self) -> dict[str, Any] | None:
        """The running server's own status; None if none answers."""
        return self.running.status


def may_look_into(folder: Path) -> bool:
    """Whether this user may list a folder; true if there is no such folder."""
    try:
        os.stat(folder / ".")
        return not folder.is_dir() or os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        return False
    except OSError:
        return True
