"""What `kmstwist doctor` examines, and what every check asks of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmstwist.configuration.model import Config
from kmstwist.health.running import Running

#: What to do where this user may not see enough.
SUDO = "run kmstwist doctor with sudo"
#: Nothing is known of any server.
NOBODY = Running()


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined, and what is known of the server that runs."""

    config: Config
    file: Path | None
    state_dir: Path
    running: Running = NOBODY

    @property
    def server(self) -> dict[str, Any] | None:
        """The running server's own status, None where none answers."""
        return self.running.status


def may_look_into(folder: Path) -> bool:
    """Whether this user may see what is in a folder; true where there is no such folder."""
    try:
        os.stat(folder / ".")
        return not folder.is_dir() or os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        return False
    except OSError:
        return True
