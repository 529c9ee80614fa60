"""Counters of hosts that come and go."""

from __future__ import annotations

from kmstwist.telemetry.counters import HOSTS, Counters


def calls(number: int) -> dict[str, int]:
    return {"answered": number, "refused": 0, "failed": 0}


def test_of_hosts_that_change_every_day_in_dns_only_the_latest_are_kept() -> None:
    counters = Counters()
    for day in range(2 * HOSTS):
        counters.count_calls({"always": calls(day), f"kms{day}": calls(1)})
    latest = [f"kms{day}" for day in range(HOSTS + 1, 2 * HOSTS)]
    assert list(counters.upstream_calls) == [*latest[:-1], "always", latest[-1]]
    assert counters.upstream_calls["always"] == calls(2 * HOSTS - 1)


def test_hosts_that_are_there_are_all_kept_however_many() -> None:
    counters = Counters()
    counters.count_calls({"gone": calls(1)})
    many = {f"kms{number}": calls(1) for number in range(HOSTS + 10)}
    counters.count_calls(many)
    assert counters.upstream_calls == many


def test_ended_workers_leave_the_calls_of_the_latest_hosts_only() -> None:
    retired = Counters()
    for day in range(2 * HOSTS):
        retired.add(Counters(upstream_calls={"always": calls(2), f"kms{day}": calls(1)}))
    assert len(retired.upstream_calls) == HOSTS
    assert retired.upstream_calls["always"] == calls(4 * HOSTS)


def test_adding_leaves_the_added_ones_as_they_are() -> None:
    one, other = Counters(upstream_calls={"kms": calls(1)}), Counters(upstream_calls={"kms": calls(2)})
    one.add(other)
    assert (one.upstream_calls, other.upstream_calls) == ({"kms": calls(3)}, {"kms": calls(2)})
