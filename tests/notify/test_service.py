"""The service over time: what it sends, to whom, when it tries again, what it keeps. The clock is the test's."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine
from twisted.internet.defer import Deferred, execute, maybeDeferred
from twisted.internet.task import Clock

from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.store import insert_batch
from kmstwist.notify.memory import FILE_NAME
from kmstwist.notify.messages import Text
from kmstwist.notify.outbox import FIRST_S
from kmstwist.notify.service import EVERY, NotifyService
from kmstwist.notify.settings import NotifySettings
from kmstwist.notify.targets import NotSent, Target
from kmstwist.reactor import Reactor
from kmstwist.telemetry.counters import Snapshot, UpstreamState
from tests.audit.making import DAY, known, new_store

#: A Thursday, 12:00 UTC.
BEGIN = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


class Site:
    """A service with everything around it, and what its one target received."""

    def __init__(self, folder: Path, store: Callable[[], Engine] | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.folder = folder
        self.store = store
        self.settings = NotifySettings(**{"settle": 0, "topics": ("hosts", "state"), **settings})
        self.state = "up"
        self.got: list[Text] = []
        self.broken = ""
        self.held: Deferred[None] | None = None
        self.service = self.make()

    def make(self) -> NotifyService:
        target = Target("target 1 (test)", "1", "test://", None)
        return NotifyService(
            self.settings,
            [target],
            "gw",
            lambda: Snapshot("gateway", 0.0, upstreams=[UpstreamState("kms1", self.state)]),
            self.store,
            self.folder / FILE_NAME,
            cast(Reactor, self.clock),
            lambda: BEGIN + self.clock.seconds(),
            local=lambda moment: datetime.fromtimestamp(moment, UTC),
            reading_thread=execute,
            sending_thread=self.send,
        )

    def send(self, function: object, *given: Any) -> Deferred[Any]:
        (text,) = given

        def take() -> None:
            if self.broken:
                raise NotSent(self.broken)
            self.got.append(text)

        if self.held is not None:
            return self.held.addCallback(lambda _: take())
        return maybeDeferred(take)

    def restart(self) -> None:
        self.service.stopService()
        self.service = self.make()
        self.service.startService()

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([EVERY] * max(1, round(seconds / EVERY)))

    @property
    def titles(self) -> list[str]:
        return [text.title.removeprefix("kmstwist at gw: ") for text in self.got]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.service.startService()
    yield made
    made.service.stopService()


def test_a_host_that_stops_is_reported_and_its_return_too(site: Site) -> None:
    site.state = "down"
    site.pass_time(60)
    site.state = "up"
    site.pass_time(60)
    assert site.titles == ["no KMS host answers: kms1 is down", "resolved: no KMS host answers: kms1 is down"]


def test_unsent_messages_are_tried_again_and_survive_a_restart(site: Site) -> None:
    site.broken, site.state = "nobody there", "down"
    site.pass_time(EVERY)
    site.restart()
    site.broken = ""
    site.pass_time(FIRST_S)
    assert site.titles == ["no KMS host answers: kms1 is down"]
    site.restart()
    site.pass_time(HOUR)
    assert len(site.got) == 1


def test_a_target_that_takes_its_time_holds_up_no_look(site: Site) -> None:
    site.held, site.state = Deferred(), "down"
    site.pass_time(EVERY)
    site.state = "up"
    site.pass_time(EVERY)
    assert site.got == []
    held, site.held = site.held, None
    held.callback(None)
    assert len(site.got) == 2


def test_the_state_file_is_readable_by_our_user_only(site: Site) -> None:
    site.state = "down"
    site.pass_time(EVERY)
    assert stat.S_IMODE((site.folder / FILE_NAME).stat().st_mode) == 0o600


def test_a_broken_memory_is_reported_and_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}")
    site = Site(tmp_path)
    site.service.startService()
    site.state = "down"
    site.pass_time(EVERY)
    assert len(site.got) == 1
    site.restart()
    site.pass_time(EVERY)
    assert len(site.got) == 1
    site.service.stopService()


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"{FILE_NAME}.new").symlink_to(victim)
    site = Site(tmp_path)
    site.service.startService()
    site.state = "down"
    site.pass_time(EVERY)
    site.service.stopService()
    assert victim.read_text() == "precious"
    assert not (tmp_path / FILE_NAME).is_symlink()


def test_in_quiet_hours_nothing_is_sent(tmp_path: Path) -> None:
    site = Site(tmp_path, quiet="13:00-15:00")
    site.service.startService()
    site.pass_time(HOUR)
    site.state = "down"
    site.pass_time(HOUR)
    assert site.titles == []
    site.pass_time(HOUR + EVERY)
    assert site.titles == ["no KMS host answers: kms1 is down"]
    site.service.stopService()


def test_only_the_chosen_topics_are_reported(tmp_path: Path) -> None:
    site = Site(tmp_path, topics=("audit",))
    site.service.startService()
    site.state = "down"
    site.pass_time(60)
    assert site.titles == []
    site.service.stopService()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = new_store(tmp_path)
    yield engine
    engine.dispose()


def at(days_ago: float) -> int:
    return int(BEGIN * 1000 - days_ago * DAY)


def test_an_expiring_machine_is_reported_once(tmp_path: Path, store: Engine) -> None:
    insert_batch(store, [known(at(175), "pc1"), known(at(172.9), "pc2", "10.0.0.8")])
    site = Site(tmp_path, lambda: store, topics=("expiring",))
    site.service.startService()
    assert site.titles == ["1 activation ends within 7 days"]
    assert site.got[0].body.startswith("pc1 Windows 10 Enterprise on 2026-12-01")
    site.pass_time(3 * HOUR)
    assert len(site.got) == 2
    assert site.got[1].body.startswith("pc2 ")
    site.restart()
    site.pass_time(3 * HOUR)
    assert len(site.got) == 2
    site.service.stopService()


def test_a_count_that_will_fall_is_reported_and_so_is_its_end(tmp_path: Path, store: Engine) -> None:
    few = [known(at(20), f"old{number}", f"10.0.1.{number}") for number in range(5)]
    insert_batch(store, [*few, *(known(at(1), f"pc{number}", f"10.0.0.{number}") for number in range(21))])
    site = Site(tmp_path, lambda: store, topics=("count",))
    site.service.startService()
    assert [title.partition(",")[0] for title in site.titles] == [
        "the count for Windows clients that need a count of 25 is 26"
    ]
    insert_batch(store, [known(at(0), f"new{number}", f"10.0.2.{number}") for number in range(4)])
    site.pass_time(HOUR + EVERY)
    assert site.titles[1].startswith("resolved: the count for Windows")
    site.service.stopService()


def test_the_weekly_summary_comes_on_its_day_and_once(tmp_path: Path, store: Engine) -> None:
    insert_batch(store, [known(at(1), "pc1")])
    site = Site(tmp_path, lambda: store, topics=("digest",), digest_day="friday", digest_at="08:00")
    site.service.startService()
    site.pass_time(19 * HOUR)
    assert site.titles == []
    site.pass_time(2 * HOUR)
    assert site.titles == ["weekly summary: 0 expiring, 0 fell silent, 1 new"]
    site.restart()
    site.pass_time(24 * HOUR)
    assert len(site.got) == 1
    site.service.stopService()


def test_an_unreadable_store_does_not_stop_other_messages(tmp_path: Path) -> None:
    def gone() -> Engine:
        raise StoreError("not open at present")

    site = Site(tmp_path, gone, topics=("count", "expiring", "digest", "hosts"))
    site.service.startService()
    site.state = "down"
    site.pass_time(60)
    assert len(site.got) == 1
    site.service.stopService()
