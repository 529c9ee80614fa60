"""What all tests share: the marker for tests that drive real system programs, and how their absence is reported."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# Hundreds of servers and commands are started. Each would compile kmstwist again if the environment, such as a
# container's, forbids keeping compiled files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Build machines are slow at times: a deadline would make timing an assertion. In continuous integration the examples
# are always the same, so that a failure is due to the change; elsewhere they differ from run to run.
settings.register_profile("kmstwist", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("kmstwist")

TESTS = Path(__file__).parent

#: The Debian package that brings each program a marked test may need.
PACKAGES = {
    "tshark": "tshark",
    "ip": "iproute2",
    "unshare": "util-linux",
    "curl": "curl",
    "faketime": "faketime",
    "fish": "fish",
    "zsh": "zsh",
    "haproxy": "haproxy",
    "named": "bind9",
    "dig": "bind9-dnsutils",
    "nsupdate": "bind9-dnsutils",
    "postgres": "postgresql",
    "chromium": "chromium",
    "samba": "python3-samba",
    "samba-server": "samba",
    "dpkg-deb": "dpkg-dev",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
    "logrotate": "logrotate",
    "rsyslogd": "rsyslog",
    "promtool": "prometheus",
    "mandoc": "mandoc",
    "lintian": "lintian",
    "nft": "nftables",
    "krb5kdc": "krb5-kdc",
    "kdb5_util": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
    # The Python package, which make installs if these header files exist.
    "gssapi": "libkrb5-dev",
    "dnsmasq": "dnsmasq-base",
    "strace": "strace",
    "unbound": "unbound",
    "unbound-checkconf": "unbound",
}
_REQUIRED = bool(os.environ.get("KMSTWIST_REQUIRE_PEERS"))
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def find_program(name: str) -> str | None:
    """The path of a system program, or None: on PATH, in the administrator's folders, or in Debian's for PostgreSQL."""
    if name == "samba":
        suite = Path("/usr/lib/python3/dist-packages/samba/tests/dcerpc/raw_protocol.py")
        return str(suite) if suite.exists() else None
    if name == "samba-server":
        return shutil.which("samba", path=_SEARCH)
    if name == "gssapi":
        module = find_spec(name)
        return None if module is None else module.origin
    if name == "postgres":
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if versions:
            return str(versions[-1])
    return shutil.which(name, path=_SEARCH)


def missing_for(item: pytest.Item) -> list[str]:
    """The programs that an item needs and this machine lacks."""
    needed = [program for marker in item.iter_markers("needs") for program in marker.args]
    unknown = [program for program in needed if program not in PACKAGES]
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} needs {unknown[0]!r}, which tests/conftest.py does not know")
    return [program for program in needed if find_program(program) is None]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are not text are named after their argument and numbered.

    Some are made while tests are collected. Each process collects separately, and the names must agree.
    """
    return argname if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()) else None


def tested_before(item: pytest.Item) -> bool:
    """Whether `make floor` ran this test, where it ran before."""
    room = item.path.relative_to(TESTS).parts[0]
    return room in os.environ.get("KMSTWIST_TESTED", "").split() and item.get_closest_marker("long") is None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests whose programs are missing; if programs are required, let the tests fail instead."""
    before = [item for item in items if tested_before(item)]
    if before:
        config.hook.pytest_deselected(items=before)
        items[:] = [item for item in items if not tested_before(item)]
    for item in items:
        missing = missing_for(item)
        if missing and not _REQUIRED:
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In continuous integration a missing program is a failure."""
    if _REQUIRED and (missing := missing_for(item)):
        pytest.fail(f"{', '.join(missing)} must be installed here", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end which tests were skipped because a program is missing, and which packages have it."""
    # Taken from the reports, since the tests themselves may have run in other processes.
    skipped = " ".join(str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    found = re.findall(r"not installed: ([\w, -]+)", skipped)
    missing = sorted({program for programs in found for program in programs.split(", ")})
    if missing:
        packages = sorted({PACKAGES[program] for program in missing})
        terminalreporter.write_sep("-", "skipped for want of system programs", yellow=True)
        terminalreporter.write_line(f"{', '.join(missing)}: apt-get install {' '.join(packages)}")


@pytest.fixture
def program() -> Callable[[str], str]:
    """`program("named")` is the path of a system program that the test's marker has made sure of."""

    def path(name: str) -> str:
        found = find_program(name)
        assert found is not None, f"{name} is not installed"
        return found

    return path
