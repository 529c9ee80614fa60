"""The interface that asks whether the hosts behind a gateway answer: its stubs."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.reach import Reach, Role, decode, encode
from kmstwist.rpc import StubError

NUMBERS = st.integers(0, 0xFFFFFFFF)


@given(role=st.sampled_from(Role), asked=NUMBERS, some=st.floats(0, 1), milliseconds=NUMBERS, age=NUMBERS)
def test_what_is_written_is_read_back(role: Role, asked: int, some: float, milliseconds: int, age: int) -> None:
    reach = Reach(role, asked, int(asked * some), milliseconds, age)
    assert decode(encode(reach)) == reach


def test_the_layout_is_six_integers_the_last_the_status() -> None:
    assert encode(Reach(Role.GATEWAY, 3, 2, 17, 400)) == struct.pack("<6I", 1, 3, 2, 17, 400, 0)
    assert decode(struct.pack(">6I", 2, 0, 0, 0, 0, 0), little_endian=False) == Reach(Role.LAB)


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        (b"", "ends before"),
        (struct.pack("<5I", 1, 3, 2, 17, 400), "ends before"),
        (struct.pack("<6I", 1, 3, 2, 17, 400, 5), "status 5"),
        (struct.pack("<6I", 7, 3, 2, 17, 400, 0), "role 7"),
        (struct.pack("<6I", 1, 3, 4, 17, 400, 0), "4 hosts answered of 3"),
    ],
)
def test_contradictory_values_are_refused(stub: bytes, said: str) -> None:
    with pytest.raises(StubError, match=said):
        decode(stub)
