"""The two servers: Samba's RPC server with a private configuration on loopback, and a lab that behaves as it does.

Samba's `samba` program serves RPC over TCP for a domain controller. Here it is told to serve nothing but one small
interface, on one port of 127.0.0.1, from folders of the test's own; the management interface comes with every RPC
server. It needs a domain controller's databases; empty ones suffice. No file of the machine's own Samba is touched.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tests.ports import free_port
from tests.system.running import Server
from tests.waiting import PATIENCE

_FOLDERS = ("private", "lock", "state", "cache", "pid", "ncalrpc", "bind", "log")
_CONFIGURATION = """\
[global]
  workgroup = LAB
  netbios name = LAB
  server role = standalone server
  server role check:inhibit = yes
  server services = rpc
  dcerpc endpoint servers = dssetup
  interfaces = 127.0.0.1
  bind interfaces only = yes
  disable netbios = yes
  rpc server dynamic port range = {port}-{port}
  private dir = {folder}/private
  lock directory = {folder}/lock
  state directory = {folder}/state
  cache directory = {folder}/cache
  pid directory = {folder}/pid
  ncalrpc dir = {folder}/ncalrpc
  binddns dir = {folder}/bind
  log file = {folder}/log/log
"""
#: Run by the system's Python, which has Samba's modules.
_EMPTY_DATABASES = """\
import sys, ldb
for name in ("sam", "privilege", "secrets", "idmap"):
    database = ldb.Ldb(f"tdb://{sys.argv[1]}/{name}.ldb", flags=0)
    database.transaction_start()
    database.add({"dn": "@ATTRIBUTES", "cn": "CASE_INSENSITIVE"})
    database.transaction_commit()
"""
_SUITE = Path("/usr/lib/python3/dist-packages/samba/tests/dcerpc/raw_protocol.py")


def windows_of_samba() -> str:
    """The Windows that the installed Samba behaves as: since 2024 the newer one, before it 2012 R2."""
    return "2025" if "legacy_bind_nak_no_reason" in _SUITE.read_text() else "2012r2"


class PrivateSamba:
    """Samba's RPC server while the context lasts; `port` is where it listens on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True)
        (folder / "ncalrpc").chmod(0o755)
        self.folder = folder
        self.port = free_port()
        configuration = folder / "smb.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=self.port))
        subprocess.run(["/usr/bin/python3", "-c", _EMPTY_DATABASES, str(folder / "private")], check=True)
        self._log = (folder / "log" / "out").open("wb")
        command = ["/usr/sbin/samba", "-i", "-M", "single", "-s", str(configuration)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)

    def __enter__(self) -> PrivateSamba:
        try:
            self._wait()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        said = (self.folder / "log" / "out").read_text(errors="replace")
        raise RuntimeError(f"Samba does not listen on port {self.port}: {said[-2000:]}")

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()


@contextlib.contextmanager
def lab_like(samba: PrivateSamba, folder: Path) -> Iterator[Server]:
    """A lab that behaves as the Windows that this Samba does."""
    configuration = folder / "kmstwist.toml"
    configuration.write_text(f'[server]\nwindows = "{windows_of_samba()}"\n')
    with Server(folder / "state", "--log-format=json", f"--config={configuration}") as lab:
        yield lab
