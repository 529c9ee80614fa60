"""What is not as it should be at one moment, as conditions that begin and end.

Two sources tell: the server's snapshot, every few seconds, and the count of the estate, every hour. Each condition has
a key that stays the same while it lasts, whatever its text becomes. Whether a condition is over can be said only where
its source has looked: after a start, DNS has not been asked yet, and nothing is over for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kmstwist.audit.views.estate import Estate
from kmstwist.findings import Health
from kmstwist.notify.settings import Topic
from kmstwist.telemetry.counters import Snapshot
from kmstwist.telemetry.judgement import judge

#: Every client renews within 7 days; in a day more, one of them must have.
NOBODY_S = 8 * 86_400.0
#: The key of the condition that no KMS host answers, and how those of single hosts begin.
ALL_HOSTS, ONE_HOST = "hosts", "host "
_STRANGER, _RECORD = "stranger ", "record in "


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is not as it should be: a sentence without its full stop, and what to do about it."""

    key: str
    topic: Topic
    text: str
    cure: str = ""
    down: bool = False


def of_server(snapshot: Snapshot) -> list[Condition]:
    """What the server's own numbers say."""
    return [*_judged(snapshot), *_strangers(snapshot)]


def server_looked(snapshot: Snapshot) -> Callable[[str], bool]:
    """Whether the snapshot could have had a condition, by its key."""

    def looked(key: str) -> bool:
        if key.startswith(_STRANGER):
            return key.removeprefix(_STRANGER).partition(" ")[0] in snapshot.strangers
        if key.startswith(_RECORD):
            return key.removeprefix(_RECORD) in snapshot.published
        if key == "central store":
            return bool(snapshot.central)
        if key == "audit":
            return bool(snapshot.audit)
        if key == ALL_HOSTS or key.startswith(ONE_HOST):
            return snapshot.workers > 0 and bool(snapshot.upstreams)
        return not key.startswith(("count ", "activations"))

    return looked


def of_estate(estate: Estate) -> list[Condition]:
    """What the count of the estate says."""
    return [*_counts(estate), *_nobody(estate)]


def estate_looked(key: str) -> bool:
    """Whether a count of the estate could have had a condition, by its key."""
    return key.startswith(("count ", "activations"))


def _judged(snapshot: Snapshot) -> Iterator[Condition]:
    there = set()
    for finding in judge(snapshot):
        if finding.check.startswith("hosts in "):
            # Strangers are told one by one.
            continue
        there.add(finding.check)
        topic = Topic.STATE
        cure = finding.cure or "kmstwist doctor"
        if finding.check == ALL_HOSTS or finding.check.startswith(ONE_HOST):
            topic, cure = Topic.HOSTS, finding.cure or "kmstwist upstreams list; kmstwist doctor"
        elif finding.check in ("audit", "central store"):
            topic = Topic.AUDIT
        yield Condition(finding.check, topic, finding.text, cure, finding.health is Health.DOWN)
    if ALL_HOSTS in there:
        # Each of them is down, too, and is over by itself.
        for one in snapshot.upstreams:
            if not one.serves:
                detail = f" ({one.detail})" if one.detail else ""
                text = f"{one.name} is {one.state}{detail}"
                yield Condition(f"{ONE_HOST}{one.name}", Topic.HOSTS, text, "kmstwist upstreams list; kmstwist doctor")


def _strangers(snapshot: Snapshot) -> Iterator[Condition]:
    for domain, found in snapshot.strangers.items():
        for host in found:
            text = f"DNS names a KMS host in {domain} that nobody configured: {host}"
            cure = f"kmstwist report strangers; kmstwist discover --domain {domain}"
            yield Condition(f"{_STRANGER}{domain} {host}", Topic.STRANGERS, text, cure)


def _counts(estate: Estate) -> Iterator[Condition]:
    for count in estate.counts:
        kind = f"{count.application} clients that need a count of {count.needed}"
        if count.most < count.needed:
            yield Condition(
                f"count {count.application} {count.needed} low",
                Topic.COUNT,
                f"in 30 days at most {count.most} clients were seen that a KMS host counts for {kind}",
                "kmstwist report count; clients that reach the KMS host another way are not in this number",
            )
        elif count.later < count.needed:
            yield Condition(
                f"count {count.application} {count.needed} falling",
                Topic.COUNT,
                f"the count for {kind} is {count.most}, and will be {count.later} within 30 days if those that "
                f"stopped renewing stay away",
                "kmstwist report count says when; kmstwist report silent says who stopped renewing",
            )


def _nobody(estate: Estate) -> Iterator[Condition]:
    latest = max((success.at for success in estate.successes), default=None)
    if latest is not None and estate.at - latest > NOBODY_S:
        days = int((estate.at - latest) // 86_400)
        yield Condition(
            "activations",
            Topic.COUNT,
            f"no client was activated for {days} days, and every client renews within 7",
            f"kmstwist doctor; kmstwist log --since {days}d --explain",
        )
