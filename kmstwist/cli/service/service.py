"""`kmstwist service`: a service from a wheel, that pip, pipx or uv installed, as the Debian package makes one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from kmstwist.cli.common import ANY_PATH
from kmstwist.cli.lazy import LazyGroup
from kmstwist.cli.output import say
from kmstwist.cli.service.files import FilesMissing, ServiceFile, service_files, unreachable
from kmstwist.cli.where import keep_rights_in
from kmstwist.system.wholefile import write_whole

USER = "kmstwist"
_UNIT = "kmstwist.service"
_INSTANCES = "kmstwist@*.service"
_HOME = """install it where the service's user can reach it:
  pipx: PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install KMSTWIST
  uv:   UV_TOOL_DIR=/opt/uv-tools UV_TOOL_BIN_DIR=/usr/local/bin UV_PYTHON_INSTALL_DIR=/opt/uv-python \\
        uv tool install KMSTWIST
  pip:  python3 -m venv /opt/kmstwist && /opt/kmstwist/bin/pip install KMSTWIST
KMSTWIST is the wheel, or the folder of kmstwist's source"""


def _root_option(command: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--root",
        type=ANY_PATH,
        default=Path("/"),
        show_default=True,
        help="The root folder of another system, such as an image that is being built. Nothing is started there.",
    )(command)


@click.group(cls=LazyGroup)
def service() -> None:
    """The systemd service, if no package has installed it.

    For a kmstwist that pip, pipx or uv installed. The Debian package has a service of its own.
    """


@service.command()
@_root_option
@click.option("--start/--no-start", default=True, show_default=True, help="Start it now, and after each boot.")
def install(root: Path, start: bool) -> None:
    """Write what the service needs, and create its user.

    These are the units, the configuration, the manual pages and the shell completion. Files that this command did not
    write stay as they are. Run it again after an upgrade.
    """
    prefix = Path(sys.prefix)
    here = _is_here(keep_rights_in(root))
    if here:
        _refuse_package()
        if why := unreachable(prefix):
            raise click.ClickException(f"{why}; {_HOME}")
    files = _files(prefix)
    _refuse_others(root, files)
    for file in files:
        say(_write(root, file))
    say(_make_user(root))
    _give(root)
    if not here:
        return
    _make_plugin_list()
    if not Path("/run/systemd/system").is_dir():
        say("systemd does not run here, so nothing was started.")
        return
    _run(["systemctl", "daemon-reload"])
    if not start:
        return
    # The old version runs until it is restarted; calls under way are finished first.
    running = _running()
    if running:
        _run(["systemctl", "restart", *running])
        say(f"restarted {', '.join(running)}")
    _run(["systemctl", "enable", "--now", _UNIT])
    say("The service runs, also after each boot. Next: kmstwist doctor")


@service.command()
@_root_option
@click.option("--purge", is_flag=True, help="Also remove the configuration and /etc/default/kmstwist.")
def remove(root: Path, purge: bool) -> None:
    """Stop the service, and remove what `install` wrote.

    The user and the state folder with the audit stay, and so does the configuration without --purge.
    """
    here = _is_here(keep_rights_in(root))
    if here and Path("/run/systemd/system").is_dir() and _is_ours(root / "etc/systemd/system" / _UNIT):
        _run(["systemctl", "disable", "--now", _UNIT, "kmstwist.socket", *_instances()])
    for file in _files(Path(sys.prefix)):
        path = root / file.place
        if file.kept:
            if purge and path.is_file():
                path.unlink()
                say(f"removed  {path}")
            continue
        if not path.is_file() and not path.is_symlink():
            continue
        if not _is_ours(path):
            say(f"left     {path}: not written by this command")
            continue
        path.unlink()
        say(f"removed  {path}")
    if purge:
        # What else is in it is the administrator's.
        with suppress(OSError):
            (root / "etc/kmstwist").rmdir()
    if here and Path("/run/systemd/system").is_dir():
        _run(["systemctl", "daemon-reload"])
    state = root / "var/lib/kmstwist"
    if state.is_dir():
        say(f"left     {state}: the audit and other data that is kept")


def _is_here(root: Path) -> bool:
    """Whether the root is this machine's. Raises `ClickException` where this user may not change that."""
    here = root.resolve() == Path("/")
    if here and os.geteuid() != 0:
        raise click.ClickException("only root may do that; run the command with sudo")
    if not root.is_dir():
        raise click.ClickException(f"{root} is not a folder")
    return here


def _refuse_package() -> None:
    if Path("/var/lib/dpkg/info/kmstwist.list").exists():
        raise click.ClickException("the Debian package kmstwist is installed, and has brought the service")


def _files(prefix: Path) -> list[ServiceFile]:
    try:
        return service_files(prefix)
    except FilesMissing as error:
        raise click.ClickException(str(error)) from None


def _is_ours(path: Path) -> bool:
    try:
        return ServiceFile("", path.read_text(encoding="utf-8")).is_ours
    except (OSError, UnicodeError):
        return False


def _refuse_others(root: Path, files: Sequence[ServiceFile]) -> None:
    """Raise `ClickException` before anything is written if one of the files exists and is not ours."""
    there = [root / file.place for file in files if not file.kept]
    foreign = [str(path) for path in there if (path.exists() or path.is_symlink()) and not _is_ours(path)]
    if foreign:
        raise click.ClickException(
            f"not written by this command: {', '.join(foreign)}; nothing was changed: move that away first"
        )


def _write(root: Path, file: ServiceFile) -> str:
    """Write a file, whole or not at all; what was done."""
    path = root / file.place
    if file.kept and path.exists():
        return f"kept     {path}"
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    if before == file.text:
        return f"as it is {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, file.text, file.mode)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    return f"{'written ' if before is None else 'renewed '} {path}"


def _make_user(root: Path) -> str:
    if _number(root, "etc/passwd") is not None and _number(root, "etc/group") is not None:
        return f"as it is the user {USER}"
    if os.geteuid() != 0:
        return f"not made the user {USER}: only root can; its entry is in {root / 'etc/sysusers.d/kmstwist.conf'}"
    if shutil.which("systemd-sysusers") is not None:
        _run(["systemd-sysusers", f"--root={root.resolve()}", "kmstwist.conf"])
    else:
        elsewhere = [] if root.resolve() == Path("/") else ["--root", str(root.resolve())]
        home = ["--home-dir", "/var/lib/kmstwist", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        _run(["useradd", *elsewhere, "--system", "--user-group", *home, "--comment", "KMS gateway", USER])
    return f"made     the user {USER}"


def _number(root: Path, table: str) -> int | None:
    """The number of our user, or our group, in the tables below the root."""
    try:
        lines = (root / table).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return None
    return next((int(line.split(":")[2]) for line in lines if line.startswith(f"{USER}:")), None)


def _give(root: Path) -> None:
    """Let the service read the configuration, which belongs to root because it may hold passwords."""
    path, group = root / "etc/kmstwist/kmstwist.toml", _number(root, "etc/group")
    if group is not None and os.geteuid() == 0 and path.stat().st_gid == 0:
        os.chown(path, -1, group, follow_symlinks=False)


def _make_plugin_list() -> None:
    """Make Twisted's cache of plugins now, since the service may not write into its program's folder."""
    from twisted.plugin import IPlugin, getPlugins

    list(getPlugins(IPlugin))


def _running() -> list[str]:
    """Our units that run now: the service, and its instances."""
    return _units("--state=active", _UNIT, _INSTANCES)


def _instances() -> list[str]:
    """The instances that run now or will run after a boot."""
    enabled = _output(["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--state=enabled", _INSTANCES])
    names = {line.split()[0] for line in enabled.splitlines() if line.strip()} - {"kmstwist@.service"}
    return sorted(names.union(_units("--all", _INSTANCES)))


def _units(*arguments: str) -> list[str]:
    listed = _output(["systemctl", "list-units", "--plain", "--no-legend", "--no-pager", *arguments])
    return sorted(line.split()[0] for line in listed.splitlines() if line.strip())


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}"
        raise click.ClickException(f"{' '.join(command)}: {said}")
