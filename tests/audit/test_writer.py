"""The writer's promises, on a clock and a thread that tests move by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable
from kmstwist.audit.records import Record, id_text
from kmstwist.audit.writer import BUSY, AuditWriter
from tests.audit.making import START, opaque, recorded


@dataclass
class Thread:
    """The writer's thread: work waits here until the test lets it finish."""

    work: list[tuple[Callable[[], Any], Deferred[Any]]] = field(default_factory=list)

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.work.append((lambda: function(*args, **kwargs), done))
        return done

    def finish(self) -> None:
        function, done = self.work.pop(0)
        try:
            result = function()
        except Exception:
            done.errback()
        else:
            done.callback(result)


@dataclass
class Disk:
    """A store that keeps batches, or fails for as long as `error` is set."""

    batches: list[list[Record]] = field(default_factory=list)
    again: list[bool] = field(default_factory=list)
    error: Exception | None = None
    poison: Record | None = None

    def __call__(self, batch: Sequence[Record], *, again: bool = False) -> int:
        self.again.append(again)
        if self.error is not None:
            raise self.error
        if self.poison is not None and self.poison in batch:
            raise IntegrityError("INSERT", {}, Exception("cannot hold this"))
        self.batches.append(list(batch))
        return len(batch)

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]


# More than the gathering time, and exact in binary, so that sums of it are too.
TICK = 1 / 128

DISK_FULL = OperationalError("INSERT", {}, Exception("database or disk is full"))


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.thread = Thread()
        self.disk = Disk()
        self.writer = AuditWriter(self.disk, clock=self.clock, in_thread=self.thread, **options)
        self.writer.start()

    def record(self, record: Record) -> Deferred[None]:
        return recorded(self.writer, record)

    def commit(self) -> None:
        """Let the gathering time pass and the batch finish."""
        self.clock.advance(TICK)
        self.thread.finish()


def outcome(deferred: Deferred[None]) -> list[str]:
    """What a Deferred has come to so far: nothing yet, committed, or why it failed."""
    seen: list[str] = []
    deferred.addCallbacks(lambda _: seen.append("committed"), lambda failure: seen.append(failure.type.__name__))
    return seen


@pytest.fixture
def alarms() -> Any:
    events: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"].name == "error":
            events.append(event["kms_fields"] | {"event": event["kms_event"]})

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    yield events
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]


def test_a_record_is_acknowledged_when_its_batch_is_committed_and_not_before() -> None:
    bench = Bench()
    seen = outcome(bench.record(opaque(START)))
    bench.clock.advance(TICK)
    assert seen == []
    assert len(bench.thread.work) == 1
    bench.thread.finish()
    assert seen == ["committed"]


def test_records_that_come_together_are_committed_together() -> None:
    bench = Bench()
    for _ in range(5):
        bench.record(opaque(START))
    bench.commit()
    assert [len(batch) for batch in bench.disk.batches] == [5]


def test_a_full_batch_does_not_wait_for_the_gathering_time() -> None:
    bench = Bench(batch=3)
    for _ in range(3):
        bench.record(opaque(START))
    assert len(bench.thread.work) == 1


def test_a_record_that_comes_alone_waits_for_the_end_of_the_turn_only() -> None:
    bench = Bench(gather=60.0)
    for _ in range(3):
        seen = outcome(bench.record(opaque(START)))
        bench.clock.advance(0)
        bench.thread.finish()
        assert seen == ["committed"]


def test_after_a_large_batch_the_next_is_gathered() -> None:
    bench = Bench(gather=TICK)
    for _ in range(BUSY):
        bench.record(opaque(START))
    bench.commit()
    bench.record(opaque(START))
    bench.clock.advance(0)
    assert bench.thread.work == []
    bench.record(opaque(START))
    bench.commit()
    assert [len(batch) for batch in bench.disk.batches] == [BUSY, 2]
    # And after a small one no more.
    bench.record(opaque(START))
    bench.clock.advance(0)
    assert len(bench.thread.work) == 1


def test_records_that_come_during_a_commit_gather_for_the_next_one() -> None:
    bench = Bench()
    bench.record(opaque(START))
    bench.clock.advance(TICK)
    later = [outcome(bench.record(opaque(START))) for _ in range(4)]
    bench.thread.finish()
    assert later == [[], [], [], []]
    bench.commit()
    assert later == [["committed"]] * 4
    assert [len(batch) for batch in bench.disk.batches] == [1, 4]


def test_a_record_handed_over_from_an_acknowledgement_is_not_lost() -> None:
    bench = Bench()
    chained: list[list[str]] = []
    bench.record(opaque(START)).addCallback(lambda _: chained.append(outcome(bench.record(opaque(START)))))
    bench.commit()
    bench.commit()
    assert chained == [["committed"]]


def test_the_next_batch_is_stored_while_the_calls_of_the_last_one_are_answered() -> None:
    bench = Bench()
    under_way: list[int] = []
    bench.record(opaque(START)).addCallback(lambda _: under_way.append(len(bench.thread.work)))
    bench.clock.advance(TICK)
    later = outcome(bench.record(opaque(START)))
    bench.thread.finish()
    assert under_way == [1]
    bench.thread.finish()
    assert later == ["committed"]


def test_a_call_that_fails_when_it_is_told_does_not_keep_the_others_waiting(alarms: list[Any]) -> None:
    bench = Bench()

    def fail(_: Exception | None) -> None:
        raise ZeroDivisionError("a defect")

    bench.writer.take(opaque(START), fail)
    other = outcome(bench.record(opaque(START)))
    bench.commit()
    assert other == ["committed"]
    assert [(alarm["event"], alarm["detail"]) for alarm in alarms] == [("defect", "telling a call of its record")]
    again = outcome(bench.record(opaque(START)))
    bench.commit()
    assert again == ["committed"]


def test_serve_answers_calls_while_the_store_fails_and_stores_every_record_later(alarms: list[Any]) -> None:
    bench = Bench()
    bench.disk.error = DISK_FULL
    first = outcome(bench.record(opaque(START)))
    bench.clock.advance(TICK)
    behind = outcome(bench.record(opaque(START)))
    bench.thread.finish()
    assert first == behind == ["committed"]
    assert bench.writer.failing
    during = outcome(bench.record(opaque(START)))
    assert during == ["committed"]
    assert bench.writer.waiting == 3
    bench.disk.error = None
    bench.clock.advance(0.5)
    bench.thread.finish()
    bench.commit()
    assert len(bench.disk.records) == 3
    assert bench.writer.waiting == 0
    assert not bench.writer.failing
    assert bench.disk.again == [False, True, False]
    assert alarms == [{"event": "audit-failing", "policy": "serve", "waiting": 2, "detail": "database or disk is full"}]


def test_serve_hands_over_from_the_acknowledgement_of_a_failed_batch_without_loss() -> None:
    bench = Bench()
    bench.disk.error = DISK_FULL
    bench.record(opaque(START))
    bench.clock.advance(TICK)
    bench.record(opaque(START)).addCallback(lambda _: bench.record(opaque(START)))
    bench.thread.finish()
    assert bench.writer.waiting == 3


def test_serve_tries_again_ever_more_slowly() -> None:
    bench = Bench()
    bench.disk.error = DISK_FULL
    bench.record(opaque(START))
    bench.commit()
    for pause in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        bench.clock.advance(pause / 2)
        assert bench.thread.work == []
        bench.clock.advance(pause / 2)
        bench.thread.finish()
    assert bench.writer.failures == 9


def test_serve_counts_and_alarms_what_the_queue_cannot_hold(alarms: list[Any]) -> None:
    bench = Bench(queue=2)
    bench.disk.error = DISK_FULL
    bench.record(opaque(START))
    bench.commit()
    bench.clock.advance(0.1)
    bench.record(opaque(START))
    assert outcome(bench.record(opaque(START))) == ["committed"]
    assert bench.writer.dropped == 1
    bench.clock.advance(60)
    assert outcome(bench.record(opaque(START))) == ["committed"]
    assert bench.writer.dropped == 2
    assert alarms[-1]["dropped"] == 2


def test_refuse_fails_the_call_and_keeps_no_record_of_it_to_store_later() -> None:
    bench = Bench(on_failure=OnFailure.REFUSE)
    bench.disk.error = DISK_FULL
    seen = outcome(bench.record(opaque(START)))
    bench.commit()
    assert seen == [AuditUnavailable.__name__]
    assert bench.writer.refused == 1
    bench.disk.error = None
    after = outcome(bench.record(opaque(START)))
    bench.commit()
    assert after == ["committed"]
    assert len(bench.disk.records) == 1
    assert not bench.writer.failing


def test_refuse_fails_calls_beyond_the_queue_at_once() -> None:
    bench = Bench(on_failure=OnFailure.REFUSE, queue=1)
    bench.record(opaque(START))
    assert outcome(bench.record(opaque(START))) == [AuditUnavailable.__name__]


@pytest.mark.parametrize("policy", list(OnFailure))
def test_a_record_the_store_cannot_hold_does_not_keep_its_neighbours_out(policy: OnFailure, alarms: list[Any]) -> None:
    bench = Bench(on_failure=policy)
    records = [opaque(START) for _ in range(5)]
    bench.disk.poison = records[2]
    seen = [outcome(bench.record(record)) for record in records]
    bench.clock.advance(TICK)
    while bench.thread.work:
        bench.thread.finish()
    kept = [record for record in records if record is not bench.disk.poison]
    assert bench.disk.records == kept
    assert bench.writer.rejected == 1
    assert seen[2] == (["committed"] if policy is OnFailure.SERVE else [AuditUnavailable.__name__])
    assert [seen[place] for place in (0, 1, 3, 4)] == [["committed"]] * 4
    assert alarms[0]["record"] == id_text(records[2].record_id)


def test_stop_commits_what_is_waiting_before_it_is_done() -> None:
    bench = Bench()
    bench.record(opaque(START))
    bench.clock.advance(TICK)
    late = outcome(bench.record(opaque(START)))
    stopped = outcome(bench.writer.stop())
    bench.thread.finish()
    assert stopped == []
    bench.thread.finish()
    assert stopped == ["committed"]
    assert late == ["committed"]
    assert len(bench.disk.records) == 2


def test_stop_in_an_outage_tries_once_more_and_says_how_many_records_are_lost(alarms: list[Any]) -> None:
    bench = Bench()
    bench.disk.error = DISK_FULL
    bench.record(opaque(START))
    bench.commit()
    bench.record(opaque(START))
    stopped = outcome(bench.writer.stop())
    bench.thread.finish()
    assert stopped == ["committed"]
    assert bench.writer.dropped == 2
    assert alarms[-1]["lost"] == 2


def test_stop_in_an_outage_goes_on_trying_until_its_time_is_over_and_no_longer() -> None:
    bench = Bench()
    bench.disk.error = DISK_FULL
    bench.record(opaque(START))
    bench.commit()
    stopped = outcome(bench.writer.stop(within=1.25))
    bench.thread.finish()
    for pause in (0.5, 0.5):
        bench.clock.advance(pause)
        assert stopped == []
        bench.thread.finish()
    assert stopped == []
    bench.clock.advance(0.25)
    bench.thread.finish()
    assert stopped == ["committed"]
    assert (bench.writer.failures, bench.writer.dropped) == (5, 1)


def test_a_record_after_the_end_is_turned_away_and_counted() -> None:
    bench = Bench()
    bench.writer.stop()
    assert outcome(bench.record(opaque(START))) == ["committed"]
    assert bench.writer.dropped == 1
