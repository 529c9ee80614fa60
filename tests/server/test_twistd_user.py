"""The user that twistd should become: an unknown one is refused in a sentence, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.python import usage

from kmstwist.server.tap import Options
from kmstwist.system.privileges import fault_of_identity


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"uid": 123456}, "--uid=123456: no user of this system has that number"),
        ({"uid": 123456, "gid": 5}, "--uid=123456: no user"),
        ({"uid": -5}, "--uid=-5: no user"),
        ({"uid": 2**40}, f"--uid={2**40}: no user"),
        ({"uid": 0, "gid": 2**40}, f"--gid={2**40}: that is not a group's number"),
    ],
)
def test_a_user_that_the_system_does_not_know_is_refused_in_a_sentence(
    asked: dict[str, int], said: str, tmp_path: Path
) -> None:
    options = Options()
    options.parent = usage.Options()
    options.parent.update(asked)
    with pytest.raises(SystemExit) as ended:
        options.parseOptions([f"--state-dir={tmp_path / 'state'}"])
    assert str(ended.value).startswith(f"kmstwist: {said}")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("asked", [{}, {"uid": None, "gid": None}, {"uid": 0}, {"uid": 0, "gid": 123456}])
def test_a_user_that_twistd_can_become_is_accepted(asked: dict[str, int]) -> None:
    assert fault_of_identity(asked) is None
