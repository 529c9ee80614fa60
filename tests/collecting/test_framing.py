from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.collecting.framing import Frames

MESSAGES = st.lists(
    st.binary(min_size=1, max_size=60).map(lambda data: b"<14>" + data.replace(b"\n", b".").replace(b"\0", b".") + b"!")
)


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


def lined(message: bytes) -> bytes:
    return message + b"\n"


@given(MESSAGES, st.lists(st.booleans()), st.integers(1, 40))
def test_messages_are_the_same_however_they_are_framed_and_cut(
    messages: list[bytes], choices: list[bool], size: int
) -> None:
    framed = [
        counted(message) if at < len(choices) and choices[at] else lined(message) for at, message in enumerate(messages)
    ]
    stream = b"".join(framed)
    frames = Frames()
    found = [message for at in range(0, len(stream), size) for message in frames.feed(stream[at : at + size])]
    assert found == messages
    assert frames.end() == b""


@given(st.lists(st.binary(max_size=80)))
def test_whatever_comes_is_cut_or_waits_within_bounds(pieces: list[bytes]) -> None:
    frames = Frames(most=50)
    for piece in pieces:
        assert all(len(message) <= 80 + 50 for message in frames.feed(piece))
    assert len(frames.end()) <= 80 + 50


@pytest.mark.parametrize("long", [lined(b"<14>" + b"x" * 500), counted(b"<14>" + b"x" * 500)])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_message_that_is_too_long_costs_itself_alone(long: bytes, size: int) -> None:
    frames = Frames(most=100)
    stream = lined(b"<14>one") + long + lined(b"<14>two")
    found = [message for at in range(0, len(stream), size) for message in frames.feed(stream[at : at + size])]
    assert found == [b"<14>one", b"<14>two"]
    assert frames.too_long == 1


def test_a_last_line_needs_no_end_but_part_of_a_counted_message_is_dropped() -> None:
    frames = Frames()
    assert frames.feed(b'{"a": 1}') == []
    assert frames.end() == b'{"a": 1}'
    frames = Frames()
    assert frames.feed(b"50 <14>only a part") == []
    assert frames.end() == b""


def test_a_zero_byte_ends_a_message_too() -> None:
    assert Frames().feed(b"<14>a\0<14>b\0") == [b"<14>a", b"<14>b"]
