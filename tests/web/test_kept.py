"""Numbers that take long to count are kept: shown at once with their age, and counted again in the background."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from kmstwist.audit.store import insert_batch
from kmstwist.findings import Health
from kmstwist.telemetry.counters import Counters, Snapshot
from kmstwist.web.asker import Answer, Asker
from kmstwist.web.pages import Page
from kmstwist.web.view import Asking, Kept
from kmstwist.web.views.all import VIEWS
from kmstwist.web.watch import Status, Watch
from tests.audit.making import known, new_store

STATUS = Status(Snapshot("gateway", 0.0, Counters()), 0.0, Health.HEALTHY, 0.0, 0.0)


class Counting:
    """Something that takes three seconds to count."""

    def __init__(self) -> None:
        self.now, self.number, self.done = 1000.0, 1, 0
        self.kept = Kept(lambda: self.now)

    def work(self, asking: Asking) -> int:
        self.now += 3
        self.done += 1
        return self.number

    def ask(self, *, page: bool = True) -> tuple[int, float]:
        """The number, and how old it is."""
        asking = self.asking(page=page)
        return asking.keep("number", self.work), asking.ages[0]

    def asking(self, *, page: bool = True) -> Asking:
        return Asking(None, STATUS, datetime.fromtimestamp(0, UTC), self.kept, old_will_do=page)

    def renew(self) -> None:
        for name in self.kept.due():
            self.kept.renew(name, self.asking())


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_a_page_shows_the_old_number_with_its_age_while_it_is_counted_again(counting: Counting) -> None:
    assert counting.ask() == (1, 0)
    counting.number, counting.now = 2, counting.now + 40
    assert counting.ask() == (1, 40)
    assert counting.done == 1
    counting.renew()
    assert counting.ask() == (2, 0)
    assert (counting.done, counting.kept.changes) == (2, 1)


def test_a_program_never_gets_a_number_that_is_too_old(counting: Counting) -> None:
    counting.ask()
    counting.now += 29
    assert counting.ask(page=False) == (1, 29)
    counting.number, counting.now = 2, counting.now + 1
    assert counting.ask(page=False) == (2, 0)


def test_a_number_that_is_too_old_is_not_shown(counting: Counting) -> None:
    counting.ask()
    counting.number, counting.now = 2, counting.now + Kept.OLDEST
    assert counting.ask() == (2, 0)


def test_a_slow_answer_is_kept_ready_for_a_day(counting: Counting) -> None:
    counting.ask()
    asked = counting.now
    while counting.now < asked + 3 * Kept.TODAY:
        counting.now += 60
        counting.renew()
    # At 400 times the computing time: a little more than every twenty minutes.
    assert 60 < counting.done < 1 + Kept.TODAY / 1200


def test_open_pages_are_told_of_a_changed_and_of_a_fresh_number(counting: Counting) -> None:
    counting.ask()
    counting.now += 1500
    counting.renew()
    # Nobody was shown an old one, and it has not changed.
    assert (counting.done, counting.kept.changes) == (2, 0)
    counting.now += 31
    counting.ask()
    counting.renew()
    assert (counting.done, counting.kept.changes) == (3, 1)


def at_once(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    return maybeDeferred(function, *args)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return new_store(tmp_path)


def test_the_page_says_when_its_numbers_were_counted(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.advance(1_750_000_000)
    insert_batch(store, [known(1_749_990_000_000, "PC1", "10.0.0.1")])
    monkeypatch.setattr("kmstwist.web.view.Kept.__init__.__defaults__", (clock.seconds,))
    asker = Asker(Watch(lambda: Snapshot("gateway", 0.0, Counters()), clock.seconds), lambda: store, at_once)

    async def page() -> str:
        view = VIEWS["products"]
        question, status = view.question(), await asker.watch.status()

        def make(answer: Answer) -> bytes:
            return Page(asker, view).html(status, answer, question, {})

        return (await asker.ask(view, question, status, Event(), make, old_will_do=True)).decode()

    def shown() -> str:
        found: list[str] = []
        Deferred.fromCoroutine(page()).addCallback(found.append)
        return found[0]

    assert "Counted" not in shown()
    insert_batch(store, [known(1_749_990_001_000, "PC2", "10.0.0.2")])
    clock.advance(40)
    old = shown()
    assert ">40 s ago</time>" in old
    assert ">1</a>" in old
    # It was counted again after that page had been made.
    new = shown()
    assert "Counted" not in new
    assert ">2</a>" in new


def test_when_space_runs_out_the_answers_used_last_are_kept(counting: Counting) -> None:
    asking = counting.asking()
    for number in range(Kept.MOST + 20):
        asking.keep(("page", number), counting.work)
    done = counting.done
    asking.keep(("page", Kept.MOST + 19), counting.work)
    assert counting.done == done
    asking.keep(("page", 0), counting.work)
    assert counting.done == done + 1
    # All kept answers are counted again some time later.
    counting.now += 2000
    assert len(counting.kept.due()) == Kept.MOST
