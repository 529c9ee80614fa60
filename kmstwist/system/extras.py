"""Optional parts: the command that installs what one needs, for the way in which kmstwist was installed.

The command names the packages themselves. The project is not in any index, so `pip install 'kmstwist[notify]'` would
fail or, worse, install what somebody else has published under that name.
"""

from __future__ import annotations

import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

#: Debian's packages for an extra, for a kmstwist that runs on the system's own Python.
DEBIAN = {"postgres": "python3-psycopg", "gssapi": "python3-gssapi", "notify": "apprise"}


@dataclass(frozen=True, slots=True)
class Installed:
    """How kmstwist was installed: its interpreter and environment, and whether that has pip of its own.

    `managed` says that the system's package manager looks after the interpreter (PEP 668).
    """

    python: str
    prefix: Path
    virtual: bool
    pip: bool
    managed: bool
    debian: Mapping[str, str] = field(default_factory=lambda: DEBIAN)

    @classmethod
    def here(cls) -> Installed:
        """This process's."""
        virtual = sys.prefix != sys.base_prefix
        marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
        return cls(
            python=sys.executable,
            prefix=Path(sys.prefix),
            virtual=virtual,
            pip=find_spec("pip") is not None,
            managed=not virtual and marker.exists(),
        )


def requirements(extra: str) -> list[str]:
    """The requirements of an extra, in pip's form; empty if kmstwist is not installed or has no such extra."""
    # Here, because it loads the standard library's e-mail parser, and few look for what is missing.
    from importlib.metadata import PackageNotFoundError, requires

    try:
        found = requires("kmstwist") or []
    except PackageNotFoundError:
        return []
    wanted = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    return [text.partition(";")[0].strip() for text in found if wanted.search(text.partition(";")[2])]


def install_command(extra: str, installed: Installed | None = None) -> str:
    """The command that installs what an extra needs."""
    here = installed or Installed.here()
    packages = shlex.join(requirements(extra))
    if not packages:
        # Run from its source, without an installation.
        return f"{shlex.quote(here.python)} -m pip install '.[{extra}]' in the folder of kmstwist's source"
    if here.managed and extra in here.debian:
        return f"apt-get install -y {here.debian[extra]}"
    if (here.prefix / "pipx_metadata.json").exists():
        return f"pipx inject {shlex.quote(here.prefix.name)} {packages}"
    python = shlex.quote(here.python)
    if (here.prefix / "uv-receipt.toml").exists():
        return f"uv pip install --python {python} {packages}"
    if here.pip:
        anyway = " --break-system-packages" if here.managed else ""
        return f"{python} -m pip install{anyway} {packages}"
    # As in the Debian package, whose environment has no pip: another pip installs into it.
    return f"apt-get install -y python3-pip && python3 -m pip --python {python} install {packages}"
