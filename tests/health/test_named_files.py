"""Files that a configuration names: doctor reads each as a starting server does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kmstwist.configuration.model import Config
from kmstwist.findings import Finding, Health
from kmstwist.health.case import Case
from kmstwist.health.named_files import check_named_files

USERS = {"web": {"listen": "127.0.0.1:9688", "users": "FILE"}}
KEY = {"dns": {"publish": {"domains": ["corp.example"], "host": "gw.corp.example", "key_file": "FILE"}}}
CERTIFICATE = {"events": {"listen": ["tls:127.0.0.1:6514"], "senders": ["127.0.0.1"], "certificate": "FILE"}}


def findings(asked: dict[str, Any], file: Path) -> list[Finding]:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        return str(file) if value == "FILE" else value

    return list(check_named_files(Case(Config.model_validate(filled(asked)), None, file.parent)))


@pytest.mark.parametrize(
    ("asked", "place", "cure"),
    [
        (USERS, "[web]", "kmstwist web password NAME"),
        (KEY, "[dns.publish]", "name one that this user may read"),
        (CERTIFICATE, "[events]", "name a file that the server may read"),
    ],
)
def test_a_file_without_which_no_server_starts_is_bad(
    tmp_path: Path, asked: dict[str, Any], place: str, cure: str
) -> None:
    (found,) = findings(asked, tmp_path / "gone")
    assert found.health is Health.DOWN
    assert found.text.startswith(place)
    assert f"{tmp_path}/gone" in found.text
    assert "No such file" in found.text
    assert cure in found.cure


@pytest.mark.parametrize("asked", [USERS, KEY])
def test_a_file_of_another_kind_is_bad_too(tmp_path: Path, asked: dict[str, Any]) -> None:
    file = tmp_path / "letter"
    file.write_text("to somebody\n")
    file.chmod(0o600)
    (found,) = findings(asked, file)
    assert found.health is Health.DOWN


def test_files_that_are_there_and_sections_that_are_off_are_no_findings(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    shutil.copy(__file__, file)
    assert findings(CERTIFICATE, file) == []
    assert findings({"web": {"users": "FILE"}}, tmp_path / "gone") == []
    assert findings({"events": {"listen": [], "certificate": "FILE"}}, tmp_path / "gone") == []
