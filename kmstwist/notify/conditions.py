"""What is wrong at one moment, as conditions that begin and end.

There are two sources: the server's snapshot, every few seconds, and the audit's totals, every hour. Each condition has
a `Key`, which stays the same while it lasts, even if its text changes. A condition is over only if its source has
looked again: after a start, DNS has not been asked yet, so no condition about DNS ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kmstwist.audit.views.totals import Totals
from kmstwist.findings import Health
from kmstwist.notify.settings import Topic
from kmstwist.telemetry.counters import Snapshot
from kmstwist.telemetry.server_health import HOST, HOSTS, RECORD, STRANGERS, judge

#: In seconds: every client renews within 7 days, so in 8 days at least one must have.
NOBODY_S = 8 * 86_400.0
_STRANGER, _COUNT, _ACTIVATIONS = "stranger", "count", "activations"


class Key(NamedTuple):
    """What a condition is about: its kind, the host or domain, and the one of several there."""

    kind: str
    subject: str = ""
    one: str = ""


#: The key of the condition that no KMS host answers.
ALL_HOSTS = Key(HOSTS)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong: `text` is a sentence without its full stop, `cure` what to do about it."""

    key: Key
    topic: Topic
    text: str
    cure: str = ""
    down: bool = False


def of_server(snapshot: Snapshot) -> list[Condition]:
    """The conditions that the server's snapshot shows."""
    return [*_judged(snapshot), *_strangers(snapshot)]


def server_looked(snapshot: Snapshot) -> Callable[[Key], bool]:
    """A function that says whether this snapshot could have shown a condition, by its key."""

    def looked(key: Key) -> bool:
        if key.kind == _STRANGER:
            return key.subject in snapshot.strangers
        if key.kind == RECORD:
            return key.subject in snapshot.published
        if key.kind == "central store":
            return bool(snapshot.central)
        if key.kind == "audit":
            return bool(snapshot.audit)
        if key.kind in (HOSTS, HOST):
            return snapshot.workers > 0 and bool(snapshot.upstreams)
        return not totals_looked(key)

    return looked


def of_totals(totals: Totals) -> list[Condition]:
    """The conditions that the audit's totals show."""
    return [*_counts(totals), *_nobody(totals)]


def totals_looked(key: Key) -> bool:
    """Whether the totals could have shown a condition, by its key."""
    return key.kind in (_COUNT, _ACTIVATIONS)


def _judged(snapshot: Snapshot) -> Iterator[Condition]:
    all_down = False
    for finding in judge(snapshot):
        if finding.check == STRANGERS:
            # Strangers are reported one by one.
            continue
        topic = Topic.STATE
        cure = finding.remedy or "kmstwist doctor"
        if finding.check in (HOSTS, HOST):
            topic, cure = Topic.HOSTS, finding.remedy or "kmstwist upstreams list; kmstwist doctor"
            all_down = all_down or finding.check == HOSTS
        elif finding.check in ("audit", "central store"):
            topic = Topic.AUDIT
        yield Condition(Key(finding.check, finding.subject), topic, finding.text, cure, finding.health is Health.DOWN)
    if all_down:
        # Each host is down, too, and each comes back by itself.
        for one in snapshot.upstreams:
            if not one.serves:
                detail = f" ({one.detail})" if one.detail else ""
                text = f"{one.name} is {one.state}{detail}"
                yield Condition(Key(HOST, one.name), Topic.HOSTS, text, "kmstwist upstreams list; kmstwist doctor")


def _strangers(snapshot: Snapshot) -> Iterator[Condition]:
    for domain, found in snapshot.strangers.items():
        for host in found:
            text = f"DNS names a KMS host in {domain} that is not configured: {host}"
            cure = f"kmstwist report strangers; kmstwist discover --domain {domain}"
            yield Condition(Key(_STRANGER, domain, host), Topic.STRANGERS, text, cure)


def _counts(totals: Totals) -> Iterator[Condition]:
    for count in totals.counts:
        kind = f"{count.application} clients that need a count of {count.needed}"
        if count.most < count.needed:
            yield Condition(
                Key(_COUNT, f"{count.application} {count.needed}", "low"),
                Topic.COUNT,
                f"the count for {kind} is at most {count.most} (clients seen in 30 days)",
                "kmstwist report count; clients that reach the KMS host another way are not counted here",
            )
        elif count.later < count.needed:
            yield Condition(
                Key(_COUNT, f"{count.application} {count.needed}", "falling"),
                Topic.COUNT,
                f"the count for {kind} is {count.most}, and will be {count.later} within 30 days if the "
                f"clients that stopped renewing stay away",
                "kmstwist report count says when; kmstwist report silent says who stopped renewing",
            )


def _nobody(totals: Totals) -> Iterator[Condition]:
    latest = max((success.at for success in totals.successes), default=None)
    if latest is not None and totals.at - latest > NOBODY_S:
        days = int((totals.at - latest) // 86_400)
        yield Condition(
            Key(_ACTIVATIONS),
            Topic.COUNT,
            f"no client has been activated for {days} days, although clients renew every 7 days",
            f"kmstwist doctor; kmstwist log --since {days}d --explain",
        )
