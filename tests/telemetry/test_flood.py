"""Floods of log lines are limited, counted and reported; answered calls always have their line."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogLevel

from kmstwist.logevents import CONVERSATION, DEFECT
from kmstwist.telemetry.lines import FORMATTERS, FloodLimit, LineObserver
from kmstwist.telemetry.log import limited
from kmstwist.telemetry.settings import LogSettings


def make(burst: int = 3, rate: float = 1.0) -> tuple[FloodLimit, Clock, list[Any]]:
    clock = Clock()
    passed: list[Any] = []
    limit = FloodLimit(passed.append, clock.seconds, burst=burst, rate=rate)
    limit._log = Logger(observer=limit)
    return limit, clock, passed


def line(limit: FloodLimit, **fields: object) -> None:
    CONVERSATION.emit(Logger(observer=limit), **fields)


def test_beyond_the_burst_lines_of_a_kind_are_dropped_and_counted() -> None:
    limit, clock, passed = make()
    for _ in range(10):
        line(limit, result="none", reason="rpc-not-rpc")
    assert len(passed) == 3
    clock.advance(5)
    limit.report()
    told = passed.pop()
    assert told["kms_event"] == "suppressed"
    assert told["kms_fields"] == {
        "of_event": "conversation",
        "for_result": "none",
        "for_reason": "rpc-not-rpc",
        "lines": 7,
        "seconds": 5.0,
    }
    limit.report()
    assert len(passed) == 3


def test_kinds_do_not_cost_each_other_and_time_brings_lines_back() -> None:
    limit, clock, passed = make()
    for _ in range(5):
        line(limit, result="none", reason="rpc-not-rpc")
    line(limit, result="none", reason="client-slow")
    assert len(passed) == 4
    clock.advance(2)
    for _ in range(5):
        line(limit, result="none", reason="rpc-not-rpc")
    assert len(passed) == 6


def test_however_many_clients_there_are_they_make_lines_of_one_kind() -> None:
    limit, clock, passed = make()
    for number in range(1000):
        line(
            limit,
            client=f"10.0.{number}",
            port=number,
            machine=f"PC{number}",
            detail=str(number),
            result="none",
            reason="r",
        )
    assert len(passed) == 3
    clock.advance(5)
    limit.report()
    assert [each["kms_fields"]["lines"] for each in passed[3:]] == [997]


def test_an_answered_call_and_a_defect_are_never_dropped() -> None:
    limit, _, passed = make()
    for result in ("activated", "answered", "refused"):
        for _ in range(50):
            line(limit, result=result, reason="ok")
    for _ in range(50):
        DEFECT.emit(Logger(observer=limit), detail="x", traceback="y")
    assert len(passed) == 200


def test_of_twisteds_own_messages_only_loud_ones_count() -> None:
    limit, _, passed = make()
    log = Logger(observer=limit)
    for _ in range(10):
        log.emit(LogLevel.info, "quiet")
        log.emit(LogLevel.error, "loud")
    assert len(passed) == 13


def test_a_changed_limit_holds_for_the_kinds_that_are_known_already() -> None:
    limit, clock, passed = make()
    for _ in range(5):
        line(limit, result="none", reason="rpc-not-rpc")
    limit.configure(burst=10, rate=100.0)
    clock.advance(1)
    for _ in range(20):
        line(limit, result="none", reason="rpc-not-rpc")
    assert len(passed) == 3 + 10


def test_a_log_s_limit_is_the_configured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.telemetry.log.installed_reactor", MemoryReactorClock)
    written: list[str] = []
    observer = LineObserver(FORMATTERS["text"], "info", lambda text, level: written.append(text))
    limit = limited(observer, LogSettings(flood_burst=4, flood_rate=0.01))
    for _ in range(10):
        line(limit, result="none", reason="rpc-not-rpc")
    assert len(written) == 4
