"""Messages that cannot be sent are tried again in order, at growing intervals, and dropped in the end."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.notify.messages import Text
from kmstwist.notify.outbox import FIRST_S, GIVEN_UP_S, LONGEST_S, WAITING, Outbox

ONE, TWO = Text("one", "1"), Text("two", "2")


def test_each_target_gets_each_message() -> None:
    box = Outbox()
    box.put(ONE, ["a", "b"], 0)
    got = []
    while (due := box.next(0, ["a", "b"])) is not None:
        got.append((due[0].text, due[1]))
        box.sent(*due)
    assert got == [(ONE, "a"), (ONE, "b")]
    assert box.letters == []


def test_a_target_that_fails_waits_longer_each_time_and_holds_up_no_other() -> None:
    box = Outbox()
    box.put(ONE, ["a", "b"], 0)
    now, waits = 0.0, []
    for _ in range(10):
        due = box.next(now, ["a"])
        assert due is not None
        wait = box.failed(*due, now)
        assert wait is not None
        waits.append(wait)
        assert box.next(now, ["a"]) is None
        now += wait
    assert waits[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == LONGEST_S
    # The other is due while this one waits.
    due = box.next(now - 1, ["a", "b"])
    assert due is not None
    assert due[1] == "b"


def test_a_later_message_does_not_overtake() -> None:
    box = Outbox()
    box.put(ONE, ["a"], 0)
    due = box.next(0, ["a"])
    assert due is not None
    box.failed(*due, 0)
    box.put(TWO, ["a"], 1)
    assert box.next(1, ["a"]) is None
    again = box.next(FIRST_S, ["a"])
    assert again is not None
    assert again[0].text == ONE


def test_after_three_days_a_message_is_dropped() -> None:
    box = Outbox()
    box.put(ONE, ["a"], 0)
    due = box.next(0, ["a"])
    assert due is not None
    assert box.failed(*due, GIVEN_UP_S - 1) is not None
    assert box.failed(*due, GIVEN_UP_S) is None
    assert box.letters == []


def test_the_number_of_waiting_messages_is_bounded() -> None:
    box = Outbox()
    for number in range(WAITING):
        assert box.put(Text(str(number), ""), ["a"], number) == []
    (lost,) = box.put(ONE, ["a"], WAITING)
    assert lost.text.title == "0"
    assert len(box.letters) == WAITING


def test_a_clock_that_was_set_back_holds_no_message() -> None:
    box = Outbox()
    box.put(ONE, ["a"], 1_000_000)
    due = box.next(1_000_000, ["a"])
    assert due is not None
    box.failed(*due, 1_000_000)
    assert box.next(0, ["a"]) is not None


def test_a_target_that_is_gone_is_forgotten() -> None:
    box = Outbox()
    box.put(ONE, ["a"], 0)
    box.put(TWO, ["a", "b"], 0)
    box.forget_others(["b"])
    assert [letter.text for letter in box.letters] == [TWO]


@given(st.lists(st.sampled_from(["put", "sent", "failed", "wait"]), max_size=40))
def test_waiting_messages_survive_a_restart(does: list[str]) -> None:
    box, now = Outbox(), 0.0
    for what in does:
        due = box.next(now, ["a", "b"])
        if what == "put":
            box.put(ONE, ["a", "b"], now)
        elif what == "wait":
            now += 100
        elif due is not None and what == "sent":
            box.sent(*due)
        elif due is not None:
            box.failed(*due, now)
        assert Outbox.from_json(json.loads(json.dumps(box.to_json()))) == box
