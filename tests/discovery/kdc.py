"""A real Kerberos realm for the tests, with its KDC on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.discovery.named import program
from tests.ports import free_port
from tests.waiting import PATIENCE

REALM = "CORP.TEST"

_KRB5 = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  corp.test = {realm}
"""
_KDC = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
"""


class Kdc:
    """krb5kdc in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pid_file = folder / "pid"
        port = free_port()
        (folder / "krb5.conf").write_text(_KRB5.format(realm=REALM, port=port))
        (folder / "kdc.conf").write_text(_KDC.format(realm=REALM, port=port, folder=folder))
        self.environment = {
            **os.environ,
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            # Leave users' own tickets alone, and no replay cache behind.
            "KRB5CCNAME": f"FILE:{folder}/tickets",
            "KRB5RCACHENAME": "none:",
        }
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "made for the tests only")

    def keytab(self, principal: str) -> Path:
        """A new principal's keytab."""
        path = self.folder / f"{principal.replace('/', '-')}.keytab"
        self._run("kadmin.local", "-q", f"addprinc -randkey {principal}")
        self._run("kadmin.local", "-q", f"ktadd -k {path} {principal}")
        return path

    def tickets(self, principal: str, keytab: Path) -> None:
        """Get tickets as a user does; they lie in the cache that `environment` names."""
        self._run("kinit", "-k", "-t", str(keytab), principal)

    def start(self) -> None:
        """Start the KDC. The command returns when the KDC's ports are open and its pid file is written."""
        self._run("krb5kdc", "-P", str(self._pid_file))

    def stop(self) -> None:
        """Stop the KDC."""
        if self._pid_file.exists():
            os.kill(int(self._pid_file.read_text()), signal.SIGTERM)

    def _run(self, name: str, *arguments: str) -> None:
        command = [program(name), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture
def kdc(tmp_path: Path) -> Iterator[Kdc]:
    folder = tmp_path / "kdc"
    folder.mkdir()
    kdc = Kdc(folder)
    try:
        kdc.start()
        yield kdc
    finally:
        kdc.stop()
