"""How many file descriptors each part may use; no client is accepted while none are left."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.tcp import Port
from twisted.logger import globalLogPublisher

from kmstwist.process.descriptors import RESERVE, DescriptorWatch, share_out
from tests.logs import logger


@given(
    limit=st.integers(16, 1_000_000),
    wanted=st.integers(1, 100_000),
    hosts=st.integers(0, 50),
    ceiling=st.integers(0, 10_000),
    web=st.booleans(),
    events=st.booleans(),
)
def test_all_parts_together_fit_whatever_is_wanted(
    limit: int, wanted: int, hosts: int, ceiling: int, web: bool, events: bool
) -> None:
    budget = share_out(limit, wanted=wanted, hosts=hosts, ceiling=ceiling, web=web, events=events)
    assert 1 <= budget.clients <= wanted
    if limit >= 256:
        assert budget.clients + budget.web + budget.hosts + budget.events + RESERVE <= limit
        # Clients get a large part of them, or all that they may have.
        assert budget.clients >= min(wanted, limit // 8)


class Ports:
    """Listening sockets."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")


def test_it_stops_accepting_where_few_are_left_and_begins_again_with_a_line_for_each() -> None:
    clock, ports, lines = Clock(), Ports(), list[Any]()
    lowest: list[int | None] = [10]
    watch = DescriptorWatch(1000, [ports], clock, look=lambda: lowest[0], log=logger(lambda event: lines.append(event)))
    watch.startService()
    clock.advance(5)
    assert (ports.said, lines) == ([], [])
    lowest[0] = 990
    clock.advance(0.5)
    lowest[0] = None
    clock.pump([0.5] * 20)
    assert ports.said == ["pause"]
    assert watch.out
    # Not at the first one that is free, or it would switch back and forth.
    lowest[0] = 980
    clock.pump([0.5] * 2)
    assert ports.said == ["pause"]
    lowest[0] = 900
    clock.advance(0.5)
    assert ports.said == ["pause", "resume"]
    assert [line["kms_event"] for line in lines] == ["descriptors-out", "descriptors-free"]
    assert lines[1]["kms_fields"]["seconds"] == 11.5
    watch.stopService()
    lowest[0] = None
    clock.advance(5)
    assert ports.said == ["pause", "resume"]


def test_it_hears_the_reactor_at_once() -> None:
    clock, ports = Clock(), Ports()
    watch = DescriptorWatch(1000, [ports], clock, look=lambda: 10, log=logger(lambda event: None))
    watch.startService()
    # Twisted's own words, from the logger that its ports have.
    for text in ("Could not accept new connection ({acceptError})", "EMFILE encountered; releasing"):
        Port._logger.__class__(namespace="twisted.internet.tcp", observer=globalLogPublisher).info(
            text, acceptError="ENFILE"
        )
        assert watch.out
        clock.advance(0.5)
        assert not watch.out
    assert ports.said == ["pause", "resume"] * 2
    watch.stopService()
