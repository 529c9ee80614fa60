"""Whether the user that the server becomes may start the workers at all.

The server loaded its own code while it was root. A worker is a new process, which must find Python again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import kmstwist
import twisted
from kmstwist.startup import StartupError
from kmstwist.system.privileges import Identity, name_of, out_of_reach


def refuse_python_out_of_reach(identity: Identity | None) -> None:
    """Raise `StartupError` if the user that this process becomes could not start a worker.

    Python, or what it runs, may lie in root's home, as pyenv and pipx put it there.
    """
    if identity is None:
        return
    found = out_of_reach(
        identity, [Path(sys.executable)], [Path(module.__file__ or "") for module in (os, twisted, kmstwist)]
    )
    if found is not None:
        user, real = name_of(identity.uid), found.resolve()
        lies = f"{found}, which is {real}" if real != found else str(found)
        raise StartupError(
            f"no worker could start as {user}, which has no access to {lies}",
            f"install Python and kmstwist where {user} has access, such as in /opt, or set server.workers to 1",
        )
