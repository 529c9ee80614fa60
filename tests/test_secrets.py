"""Which secret files count as open to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.system.secrets import is_open_to_others


@pytest.mark.parametrize(
    ("path", "mode", "is_open"),
    [
        ("/etc/kmstwist/users", 0o100640, False),
        ("/etc/kmstwist/users", 0o100600, False),
        ("/etc/kmstwist/users", 0o100644, True),
        ("/etc/kmstwist/users", 0o100660, True),
        # Mounted by a container engine, with the mode of the file outside.
        ("/run/secrets/web_users", 0o100644, False),
        ("/run/secrets/kmstwist/web_users", 0o100444, False),
        ("/run/secrets", 0o100644, True),
        ("/run/secrets-of-others/users", 0o100644, True),
        ("/run/secrets/../../etc/kmstwist/users", 0o100644, True),
        ("/var/run/secrets", 0o100644, True),
    ],
)
def test_a_file_is_open_to_others_by_its_mode_but_for_a_mounted_secret(path: str, mode: int, is_open: bool) -> None:
    assert is_open_to_others(Path(path), mode) is is_open
