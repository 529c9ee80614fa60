"""The checks of `kmstwist doctor` on this machine: each is a function that yields findings with their cures.

They change nothing and activate nothing. The checks that ask other machines are in `kmstwist.health.network_checks`.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from kmstwist.configuration.derived import first_port
from kmstwist.configuration.whereabouts import DEFAULT_CONFIG
from kmstwist.findings import Finding, Health
from kmstwist.health.case import SUDO, Case, may_look_into
from kmstwist.health.libraries import check_libraries
from kmstwist.health.named_files import check_named_files
from kmstwist.health.stores import check_audit, check_central_store
from kmstwist.startup import StartupError
from kmstwist.system.portholder import holder_of
from kmstwist.system.privileges import name_of
from kmstwist.system.rights import rights_in

_MIB = 1 << 20
#: Free space in the state folder's file system, in MiB, below which it is odd, and below which it is bad.
_LITTLE_SPACE, _NO_SPACE = 500, 50
_STA_UNSYNC = 0x40
#: `struct timex` of adjtimex(2): `status` stands after modes, offset, freq, maxerror and esterror, the first padded.
_TIMEX_SIZE, _STATUS_AT = 208, 40


def check_server(case: Case) -> Iterator[Finding]:
    """Whether a server runs, according to its control socket."""
    running = case.running
    if running.hidden:
        yield Finding("server", Health.DEGRADED, f"cannot tell whether a server is running: {running.why}", SUDO)
        return
    if case.server is None:
        cure = f"start one: {_start(case.file)}"
        if running.hung:
            cure = "wait if it is busy; if it stays so, restart it: systemctl restart kmstwist"
        port = first_port(case.config)
        if not running.hung and port and holder_of(port).others:
            cure = "if you mean the server that uses the port, run kmstwist doctor with sudo"
        yield Finding("server", Health.DEGRADED, running.why, cure)
        return
    mode, connections = case.server["mode"], case.server["connections"]
    yield Finding("server", Health.HEALTHY, f"a {mode} is running, with {connections} open connections")
    if running.elsewhere is not None:
        yield Finding(
            "server",
            Health.DEGRADED,
            f"its state folder is not the one examined here: its control socket is in {running.elsewhere}",
            f"kmstwist doctor --state-dir {running.elsewhere}, or name the configuration it runs with (--config)",
        )
    if case.server["paused"]:
        yield Finding(
            "server", Health.DOWN, "it is paused: clients are told to come back later", "kmstwist gateway resume"
        )
    configured = "gateway" if case.config.gateway.configured else "lab"
    if mode != configured:
        yield Finding(
            "server",
            Health.DEGRADED,
            f"a {mode} is running, but the configuration is for a {configured}",
            "restart it, or name the configuration that it uses: kmstwist doctor --config FILE",
        )


def _start(file: Path | None) -> str:
    """The command that starts a server with this configuration."""
    if file is None or file == DEFAULT_CONFIG:
        return "systemctl start kmstwist, or make run"
    return f"kmstwist -c {shlex.quote(str(file))} serve"


def check_told(case: Case) -> Iterator[Finding]:
    """The running server's own findings, except for the central store and a pause, which have their own checks."""
    for finding in case.running.findings or ():
        if finding.check not in ("central store", "server"):
            yield replace(finding, what=f"the server says: {finding.what}")
        elif finding.check == "server" and not (case.server or {}).get("paused"):
            yield finding


def check_port(case: Case) -> Iterator[Finding]:
    """Whether the port is free, if no server runs; the network checks find out who uses a port that is taken."""
    server = case.config.server
    if case.server is not None or server.listen or not server.port or port_fault(server.port) is not None:
        return
    yield Finding("port", Health.HEALTHY, f"TCP port {server.port} is free")


def port_fault(port: int) -> StartupError | None:
    """Why a port cannot be opened; None if it can."""
    from kmstwist.process.listening import try_port

    try:
        try_port(port)
    except StartupError as error:
        return error
    return None


def check_unseen(case: Case) -> Iterator[Finding]:
    """Folders that this user may not look into: their checks are left out."""
    if not may_look_into(case.state_dir):
        yield Finding("rights", Health.DEGRADED, f"this user may not read {case.state_dir}", SUDO)


def socket_unit(port: int) -> str:
    """The socket unit with which systemd listens on `port`; "" if there is none, or no systemd."""
    if not Path("/run/systemd/system").is_dir():
        return ""
    told = subprocess.run(
        ["systemctl", "list-sockets", "--no-legend", "--plain", "kmstwist*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return find_socket_unit(told.stdout, port)


def find_socket_unit(listed: str, port: int) -> str:
    """The unit that listens on `port` according to `systemctl list-sockets`; "" if none does."""
    for line in listed.splitlines():
        address, unit, *_ = [*line.split(), "", ""]
        if address.endswith(f":{port}") or address == str(port):
            return unit
    return ""


def check_configuration(case: Case) -> Iterator[Finding]:
    """Whether the server can start with it: in a valid file, an upstream may still be the gateway itself."""
    from kmstwist.configuration.derived import refuse_ourselves

    try:
        refuse_ourselves(case.config)
    except StartupError as error:
        found = f"{error.problem.what}, so the server does not start"
        yield Finding("configuration", Health.DOWN, found, error.problem.cure)
    else:
        said = f"{case.file} is valid" if case.file else "there is no configuration file; the defaults apply"
        yield Finding("configuration", Health.HEALTHY, said)


def check_files(case: Case) -> Iterator[Finding]:
    """Owner, mode and presence of the configuration and the state folder."""
    if case.file is not None and case.file.stat().st_mode & stat.S_IWOTH:
        yield Finding("files", Health.DOWN, f"every user may write to {case.file}", f"chmod 640 {case.file}")
    folder = case.state_dir
    try:
        state = folder.stat()
    except FileNotFoundError:
        if folder.is_symlink():
            what = f"{folder} is a link to {folder.readlink()}, which does not exist"
            yield Finding("files", Health.DOWN, what, "make that folder, or the link anew")
            return
        yield Finding(
            "files",
            Health.DEGRADED,
            f"there is no state folder {folder} yet",
            "nothing to do: kmstwist creates it when it first starts",
        )
        return
    except OSError as error:
        yield Finding("files", Health.DEGRADED, f"{folder} cannot be examined: {error.strerror}", SUDO)
        return
    owner = name_of(state.st_uid)
    if not stat.S_ISDIR(state.st_mode):
        yield Finding("files", Health.DOWN, f"{folder} is not a folder", "choose another with state_dir")
    elif state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX:
        what = f"every user may write to {folder}, so root does not look into it"
        yield Finding("files", Health.DOWN, what, f"chmod 700 {folder}")
        return
    elif state.st_mode & 0o077:
        yield Finding(
            "files",
            Health.DEGRADED,
            f"other users may enter {folder} (mode {state.st_mode & 0o777:04o})",
            f"chmod 700 {folder}",
        )
    else:
        yield Finding("files", Health.HEALTHY, f"{folder} belongs to {owner} and is closed to other users")
    for path in sorted(folder.iterdir()) if os.access(folder, os.R_OK) and folder.is_dir() else ():
        if path.lstat().st_uid != state.st_uid:
            yield Finding(
                "files",
                Health.DOWN,
                f"{path} belongs to {name_of(path.lstat().st_uid)}, its folder to {owner}",
                f"chown {owner}: {path}",
            )


def check_lab_key(case: Case) -> Iterator[Finding]:
    """The lab's key, if a lab is configured."""
    from kmstwist.lab.keys import KEY_FILE_NAME, LabKey, LabKeyError

    path = Path(case.config.lab.key) if case.config.lab.key else case.state_dir / KEY_FILE_NAME
    if case.config.gateway.configured or not may_look_into(case.state_dir) or not path.exists():
        return
    try:
        with rights_in(path.absolute().parent):
            key = LabKey.load(path)
    except LabKeyError as error:
        yield Finding("lab key", Health.DOWN, error.problem.what, error.problem.cure)
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        yield Finding("lab key", Health.DOWN, what, "mend its folder, which has a finding of its own")
    else:
        yield Finding("lab key", Health.HEALTHY, f"the lab is {key.host_id}; it grants no licences")


def check_space(case: Case) -> Iterator[Finding]:
    """Free space in the state folder's file system, and in that of the audit's store, if it is another one."""
    folders = [case.state_dir]
    if case.config.audit.enabled:
        store = case.config.audit.store_path(case.state_dir, lab=not case.config.gateway.configured)
        folders.append(store.absolute().parent)
    systems: dict[int, Path] = {}
    for folder in folders:
        while not may_look_into(folder.parent) or not folder.exists():
            folder = folder.parent
        systems.setdefault(folder.stat().st_dev, folder)
    for folder in systems.values():
        free = shutil.disk_usage(folder).free // _MIB
        health = Health.DOWN if free < _NO_SPACE else Health.DEGRADED if free < _LITTLE_SPACE else Health.HEALTHY
        cure = "free some space, or let the audit keep less: keep_days or keep_mib in [audit]"
        yield Finding("disk space", health, f"{free} MiB are free at {folder}", cure if health else "")


def check_clock(case: Case) -> Iterator[Finding]:
    """Whether a time source keeps the machine's clock. A KMS client must be within 4 hours of its host.

    How far off a KMS host's clock is cannot be seen without an activation.
    """
    state = kernel_clock_status()
    if state is None:
        return
    if state & _STA_UNSYNC:
        yield Finding(
            "clock",
            Health.DEGRADED,
            "this machine's clock is not synchronized",
            "set up NTP: timedatectl set-ntp true",
        )
    else:
        yield Finding("clock", Health.HEALTHY, "this machine's clock is synchronized")


def kernel_clock_status() -> int | None:
    """The status bits of adjtimex(2), or None if the kernel does not return them."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_TIMEX_SIZE)
    if library.adjtimex(buffer) < 0:
        return None
    return int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little", signed=True)


def check_name(case: Case) -> Iterator[Finding]:
    """Whether this machine's name can be published for clients."""
    publish = case.config.dns.publish
    if not publish.domains or publish.host:
        return
    name = socket.getfqdn()
    if "." not in name:
        cure = "give the machine its full name (hostnamectl), or name one with host in [dns.publish]"
        yield Finding("name", Health.DEGRADED, f"this machine's name, {name!r}, has no domain", cure)


#: All checks of this machine, in the order they are shown.
LOCAL_CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    check_configuration,
    check_server,
    check_told,
    check_port,
    check_files,
    check_unseen,
    check_lab_key,
    check_named_files,
    check_audit,
    check_central_store,
    check_space,
    check_clock,
    check_name,
    check_libraries,
)

#: Those that need no configuration, for a user who may not read it.
UNCONFIGURED_CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    check_server,
    check_told,
    check_port,
    check_clock,
    check_libraries,
)
