"""A real BIND 9 for the tests: its configuration, start and end, and the contents of its zones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from tests.ports import free_port
from tests.waiting import PATIENCE, wait_until

#: Seconds that a lookup may take, try by try: longer than a busy machine needs.
PATIENT = (30.0, 30.0)

SECRET = "bWFkZSBmb3IgdGhlIHRlc3RzIG9ubHksIDMyIGJ5dGU="
OTHER_SECRET = "YW5vdGhlciBzZWNyZXQgZm9yIHRoZSB0ZXN0cywgMzI="

ZONE = """\
$TTL 7200
@       IN SOA  ns1.{zone}. admin.{zone}. 1 3600 600 86400 300
@       IN NS   ns1.{zone}.
ns1     IN A    127.0.0.1
"""


def program(name: str) -> str:
    """The path of a system program, looked for in /usr/sbin too, where daemons live."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or name


@dataclass
class Named:
    """One named process in a folder of its own."""

    folder: Path
    port: int
    zones: dict[str, str] = field(default_factory=dict)
    grants: str | None = None
    keytab: Path | None = None
    environment: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> HostPort:
        return HostPort("127.0.0.1", self.port)

    def key_file(self, name: str = "gateway", secret: str = SECRET, algorithm: str = "hmac-sha256") -> Path:
        path = self.folder / f"{name}-{algorithm}-{secret[:4]}.key"
        path.write_text(f'key "{name}" {{\n\talgorithm {algorithm};\n\tsecret "{secret}";\n}};\n')
        path.chmod(0o600)
        return path

    def start(self, keys: dict[str, str]) -> None:
        """Start with these keys (name: algorithm); `gateway` and `gateway-…` may update SRV records, others nothing."""
        lines = [
            "options {",
            f'  directory "{self.folder}"; managed-keys-directory "{self.folder}";',
            "  pid-file none; session-keyfile none; notify no; rrset-order { order fixed; };",
            f"  listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};",
            "  recursion no; allow-transfer { 127.0.0.1; }; dnssec-validation no;",
            "  minimal-responses yes;",
            f'  tkey-gssapi-keytab "{self.keytab}";' if self.keytab else "",
            "};",
            "controls { };",
        ]
        for name, algorithm in keys.items():
            lines.append(f'key "{name}" {{ algorithm {algorithm}; secret "{SECRET}"; }};')
        grants = self.grants or " ".join(f"grant {name} zonesub SRV;" for name in keys if name.startswith("gateway"))
        for zone, text in self.zones.items():
            path = self.folder / f"{zone}.zone"
            path.write_text(ZONE.format(zone=zone) + text)
            policy = f"update-policy {{ {grants} }};" if grants else "allow-update { none; };"
            lines.append(f'zone "{zone}" {{ type primary; file "{path}"; {policy} }};')
        configuration = self.folder / "named.conf"
        configuration.write_text("\n".join(lines) + "\n")
        with (self.folder / "named.log").open("wb") as log:
            self.process = subprocess.Popen(
                [program("named"), "-g", "-n", "1", "-c", str(configuration)],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        zone = next(iter(self.zones))
        process, said = self.process, (self.folder / "named.log").read_text

        def answers() -> list[str]:
            assert process.poll() is None, said()
            return self.dig(zone, "SOA", "+tries=1", "+time=10", check=False)

        wait_until(answers, said)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def dig(self, *arguments: str, check: bool = True) -> list[str]:
        """The lines of `dig +short`, sorted."""
        done = subprocess.run(
            [program("dig"), "@127.0.0.1", "-p", str(self.port), "+short", *arguments],
            capture_output=True,
            text=True,
            check=check,
        )
        return sorted(line for line in done.stdout.splitlines() if not line.startswith(";;"))

    def transfer(self, zone: str) -> str:
        """The whole zone as `dig axfr` prints it, sorted; without the SOA record, whose serial every update raises."""
        done = subprocess.run(
            [program("dig"), "@127.0.0.1", "-p", str(self.port), "axfr", zone, "+noall", "+answer", "+onesoa"],
            capture_output=True,
            text=True,
            check=True,
        )
        return "\n".join(sorted(line for line in done.stdout.splitlines() if "\tSOA\t" not in line))


StartNamed = Callable[..., Named]


@pytest.fixture
def start_named(tmp_path: Path) -> Iterator[StartNamed]:
    """Starts BIND servers with the given zones; they end with the test."""
    running: list[Named] = []

    def start(zones: dict[str, str], keys: dict[str, str] | None = None, grants: str | None = None) -> Named:
        folder = tmp_path / f"named{len(running)}"
        folder.mkdir()
        server = Named(folder, free_port(), zones, grants)
        running.append(server)
        server.start({"gateway": "hmac-sha256"} if keys is None else keys)
        return server

    yield start
    for server in running:
        server.stop()
