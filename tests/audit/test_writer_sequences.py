"""Whatever the store does and whenever calls come: each call is told once, and "stored" only if it is stored."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable
from kmstwist.audit.records import Record
from tests.audit.making import START, opaque
from tests.audit.test_writer import DISK_FULL, Bench

EVENTS = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 4)),
    st.tuples(st.just("call"), st.integers(1, 4)),
    st.tuples(st.just("talk"), st.integers(1, 3)),
    st.tuples(st.just("poison")),
    st.tuples(st.just("finish")),
    st.tuples(st.just("finish")),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1 / 128, 0.5, 30.0])),
    st.tuples(st.just("full")),
    st.tuples(st.just("room")),
    st.tuples(st.just("noted failing")),
    st.tuples(st.just("noted working")),
    st.tuples(st.just("stop"), st.sampled_from([0.0, 5.0])),
)


class _Story:
    """A writer, and what it told each call."""

    def __init__(self, on_failure: OnFailure, gather: float) -> None:
        self.bench = Bench(on_failure=on_failure, gather=gather, batch=3, queue=8)
        self.told: list[tuple[Record, list[Exception | None]]] = []
        self.ended: list[None] = []

    def call(self, number: int, then: int = 0) -> None:
        for _ in range(number):
            record, heard = opaque(START), list[Exception | None]()
            self.told.append((record, heard))

            def told(error: Exception | None, heard: list[Exception | None] = heard) -> None:
                heard.append(error)
                if then:
                    # A client that asks again at once.
                    self.call(1, then - 1)

            self.bench.writer.take(record, told)

    def do(self, name: str, *values: Any) -> None:
        bench = self.bench
        match name:
            case "call":
                self.call(*values)
            case "talk":
                self.call(1, *values)
            case "poison" if bench.disk.poison is None:
                self.call(1)
                bench.disk.poison = self.told[-1][0]
            case "finish" if bench.thread.work:
                bench.thread.finish()
            case "wait":
                bench.clock.advance(*values)
            case "full" | "room":
                bench.disk.error = DISK_FULL if name == "full" else None
            case "noted failing":
                bench.writer.note_failing(DISK_FULL)
            case "noted working":
                bench.writer.note_working()
            case "stop":
                bench.writer.stop(*values).addCallback(self.ended.append)

    def end(self) -> None:
        self.do("room")
        self.do("stop", 60.0)
        for _ in range(1000):
            if not (self.bench.thread.work or self.bench.clock.getDelayedCalls()):
                break
            self.do("finish")
            self.do("wait", 0.5)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(OnFailure), st.sampled_from([0.0, 1 / 128]), st.lists(EVENTS, max_size=40))
def test_each_is_told_once_and_none_is_lost_or_stored_twice(
    on_failure: OnFailure, gather: float, events: list[tuple[Any, ...]]
) -> None:
    story = _Story(on_failure, gather)
    for event in events:
        story.do(*event)
    story.end()
    writer, stored = story.bench.writer, story.bench.disk.records
    assert story.ended
    assert writer.waiting == 0
    assert all(len(heard) == 1 for _, heard in story.told)
    ids = [record.record_id for record in stored]
    assert len(ids) == len(set(ids)) == writer.committed
    assert len(ids) + writer.dropped + writer.refused + writer.rejected >= len(story.told)
    for record, (said,) in story.told:
        if on_failure is OnFailure.REFUSE:
            assert (said is None) == (record.record_id in ids)
            assert said is None or isinstance(said, AuditUnavailable)
    if on_failure is OnFailure.SERVE:
        assert len(ids) + writer.dropped + writer.rejected == len(story.told)
