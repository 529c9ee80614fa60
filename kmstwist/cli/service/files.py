"""What an installed service consists of: files of the wheel's, with the program's own place in them.

Each file that we write says so in a comment of its own language. What does not say so is the administrator's, or a
package's, and is neither overwritten nor removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Where the files of etc/ expect the program.
PACKAGED = "/usr/lib/kmstwist"
MARK = "written by `kmstwist service install`; `kmstwist service remove` takes it away"


class FilesMissing(Exception):
    """The files that came with the wheel are not there; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file below the root: its place, what is in it, its mode. `kept` is the administrator's once it is there."""

    place: str
    text: str
    mode: int = 0o644
    kept: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it says that we wrote it."""
        return MARK in self.text


def service_files(prefix: Path) -> list[ServiceFile]:
    """All files, for a program in the environment at `prefix`. Raises `FilesMissing`."""
    share = _Share(prefix)
    found = list(_marked(share, prefix))
    found.append(
        ServiceFile("etc/kmstwist/kmstwist.toml", share.read("kmstwist/kmstwist.toml", "etc"), 0o640, kept=True)
    )
    found.append(ServiceFile("etc/default/kmstwist", share.read("default/kmstwist", "etc"), kept=True))
    return found


def _marked(share: _Share, prefix: Path) -> Iterator[ServiceFile]:
    for unit in ("kmstwist.service", "kmstwist@.service", "kmstwist.socket"):
        text = share.read(f"systemd/{unit}", "etc").replace(f"{PACKAGED}/", f"{prefix}/")
        yield ServiceFile(f"etc/systemd/system/{unit}", f"# {MARK}\n{text}")
    yield ServiceFile("etc/sysusers.d/kmstwist.conf", f"# {MARK}\n{share.read('sysusers.d/kmstwist.conf', 'etc')}")
    for page in ("man1/kmstwist.1", "man8/kmstwist-twistd.8"):
        yield ServiceFile(f"usr/local/share/man/{page}", f'.\\" {MARK}\n{share.manual(page)}')
    completion = "usr/local/share"
    bash, zsh, fish = share.completions()
    yield ServiceFile(f"{completion}/bash-completion/completions/kmstwist", f"# {MARK}\n{bash}")
    # Its first line is what zsh looks for.
    first, _, rest = zsh.partition("\n")
    yield ServiceFile(f"{completion}/zsh/site-functions/_kmstwist", f"{first}\n# {MARK}\n{rest}")
    yield ServiceFile(f"{completion}/fish/vendor_completions.d/kmstwist.fish", f"# {MARK}\n{fish}")


class _Share:
    """The files that pip put below the environment, or the source's own where kmstwist runs from that."""

    def __init__(self, prefix: Path) -> None:
        self._share = prefix / "share"
        self._source = Path(__file__).parents[3]

    def read(self, name: str, of_source: str) -> str:
        return self._first(self._share / "kmstwist" / name, self._source / of_source / name)

    def manual(self, page: str) -> str:
        return self._first(self._share / "man" / page, self._source / "man" / Path(page).name)

    def completions(self) -> tuple[str, str, str]:
        """For bash, zsh and fish."""
        source = self._source / "etc" / "completion"
        return (
            self._first(self._share / "bash-completion/completions/kmstwist", source / "kmstwist"),
            self._first(self._share / "zsh/site-functions/_kmstwist", source / "_kmstwist"),
            self._first(self._share / "fish/vendor_completions.d/kmstwist.fish", source / "kmstwist.fish"),
        )

    @staticmethod
    def _first(*places: Path) -> str:
        for place in places:
            if place.is_file():
                return place.read_text(encoding="utf-8")
        raise FilesMissing(f"{places[0]} is missing, but belongs to kmstwist; install kmstwist again")


def unreachable(prefix: Path) -> str:
    """Why another user could not run a program of this environment; "" if they can."""
    for place in (prefix, Path(os.path.realpath(sys.executable))):
        for hidden in map(Path, ("/home", "/root", "/run/user")):
            if hidden in place.parents:
                return f"{place} is below {hidden}, which the service may not see"
        for folder in (place, *place.parents):
            try:
                if folder.is_dir() and not folder.stat().st_mode & 0o001:
                    return f"{place} cannot be reached by other users: {folder} is closed to them"
            except OSError as error:
                return f"{place} cannot be reached: {error.strerror}"
    return ""
