"""The age of the libraries that came with kmstwist."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kmstwist.clock import now
from kmstwist.findings import Health
from kmstwist.health.libraries import check_libraries

DAY = 86400


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without libraries; this Python believes that it is its own."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    return packages


def put(packages: Path, name: str, days_ago: float) -> None:
    """Install an empty library, as if this many days ago."""
    info = packages / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    record = info / "RECORD"
    record.write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    os.utime(record, (now() - days_ago * DAY,) * 2)


def test_libraries_installed_over_a_year_ago_are_reported_with_their_date(environment: Path) -> None:
    put(environment, "one", 400)
    put(environment, "two", 370)
    (finding,) = check_libraries(None)
    assert finding.health is Health.DEGRADED
    assert finding.text.startswith("the 2 Python libraries in ")
    day = datetime.fromtimestamp(now() - 370 * DAY, UTC).date()
    assert f"date from {day} or earlier" in finding.text
    assert "install a newer or rebuilt kmstwist package" in finding.cure


def test_an_environment_renewed_this_year_is_not_reported(environment: Path) -> None:
    put(environment, "one", 400)
    put(environment, "two", 10)
    assert not list(check_libraries(None))


def test_the_distribution_s_own_libraries_are_not_reported(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(environment, "one", 400)
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert not list(check_libraries(None))
