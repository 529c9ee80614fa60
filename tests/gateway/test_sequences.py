"""Whatever happens to hosts, connections and callers, in any order, each call ends in time and without a trace."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost

from kmstwist.gateway.settings import PoolSettings
from kmstwist.kms.activation import ActivationCall
from kmstwist.rpc import FaultStatus
from tests.gateway.fakes import NOT_ACTIVATED, NOT_COVERED, Site, site_settings

_HOSTS = ("a", "b", "c")
_POOL = PoolSettings(floor=1, ceiling=2, queue=4)
#: What a host may say to a message; "ok" is its usual answer.
_ANSWERS = {
    "ok": (0, b"an answer"),
    "covered": (NOT_COVERED, b""),
    "activated": (NOT_ACTIVATED, b""),
    "fault": FaultStatus.CALL_FAILED,
    "garbage": b"no PDU of this protocol",
    "lost": "lost",
    "silent": None,
}

_host = st.sampled_from(_HOSTS)
EVENTS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 6)),
    st.tuples(st.just("ask"), st.integers(1, 6)),
    st.tuples(st.just("leave"), st.integers(1, 12)),
    st.tuples(st.just("leave"), st.integers(1, 12)),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.002, 0.01, 1.0, 2.5, 5.0, 31.0])),
    st.tuples(st.just("say"), _host, st.sampled_from(sorted(_ANSWERS))),
    st.tuples(st.just("down"), _host),
    st.tuples(st.just("up"), _host),
    st.tuples(st.just("cut"), _host),
    st.tuples(st.just("drain"), _host),
    st.tuples(st.just("undrain"), _host),
    st.tuples(st.just("configure"), st.sets(_host)),
)


class _Story:
    """A gateway, and the outcome of each call."""

    def __init__(self) -> None:
        self.site = Site(*_HOSTS, pool=_POOL)
        self.calls: list[Any] = []
        #: When each call was made, in the clock's seconds, and its outcome.
        self.made: list[float] = []
        self.ended: list[list[tuple[float, object]]] = []

    def ask(self, number: int) -> None:
        for _ in range(number):
            self._ask(f"10.0.0.{len(self.calls) % 4}")

    def _ask(self, client: str) -> None:
        clock = self.site.clock
        ends: list[tuple[float, object]] = []
        self.made.append(clock.seconds())
        self.ended.append(ends)
        call = self.site.gateway.activate(ActivationCall(b"\0\0\6\0 a message", client, 50000))
        self.calls.append(call)
        call.addBoth(lambda end: ends.append((clock.seconds(), end)))

    def leave(self, number: int) -> None:
        """The client of one of the latest calls leaves."""
        if number <= len(self.calls):
            self.calls[-number].cancel()

    def wait(self, seconds: float) -> None:
        self.site.wait(seconds)

    def say(self, host: str, what: str) -> None:
        self.site.hosts[host].answer = lambda _: _ANSWERS[what]

    def down(self, host: str) -> None:
        self.site.hosts[host].down()

    def up(self, host: str) -> None:
        self.site.hosts[host].reachable = True

    def cut(self, host: str) -> None:
        for connection in self.site.hosts[host].open:
            connection.lose(ConnectionLost())

    def drain(self, host: str) -> None:
        for upstream in self.site.gateway.directory.upstreams:
            if upstream.name == host:
                upstream.drain()

    def undrain(self, host: str) -> None:
        for upstream in self.site.gateway.directory.upstreams:
            if upstream.name == host:
                upstream.undrain()

    def configure(self, hosts: set[str]) -> None:
        self.site.gateway.apply(site_settings(*sorted(hosts), pool=_POOL))


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, min_size=3, max_size=50))
def test_each_call_ends_once_in_time_and_leaves_nothing(events: list[tuple[Any, ...]]) -> None:
    story = _Story()
    site = story.site
    pools = {upstream.pool for upstream in site.gateway.directory.upstreams}
    for name, *arguments in events:
        getattr(story, name)(*arguments)
        pools |= {upstream.pool for upstream in site.gateway.directory.upstreams}
    longest = site.settings.deadline
    site.wait(longest + 0.01)
    for made, ends in zip(story.made, story.ended, strict=True):
        ((when, _),) = ends
        assert when - made <= longest + 1e-6
    for pool in pools:
        assert (pool.busy, pool.waiting) == (0, 0)
        assert pool.connections <= pool.ceiling
    site.gateway.stopService()
    site.wait(0.1)
    assert not any(host.open for host in site.hosts.values())
    site.wait(longest)
    assert site.clock.getDelayedCalls() == []
