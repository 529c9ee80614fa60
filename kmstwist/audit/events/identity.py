"""Which events are in the store already, whatever format they came in the first time.

Formats differ in what they leave out: Event Viewer's CSV has neither the computer nor the event's number, PowerShell's
has times to the second, in a zone that the file does not name. All of them have the event's own values, so the first
half of its fingerprint is computed from those alone. Among the events with the same values, an event is the one whose
number, computer and time are equal, as far as both have them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmstwist.audit.asking.limits import ASKED
from kmstwist.audit.asking.prepared import rows
from kmstwist.audit.events.model import Event

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

SECOND_MS = 1000
# Zones are whole quarters of an hour apart, and 26 hours at most.
QUARTER_MS = 900_000
ZONES_MS = 26 * 3_600_000

# The names of the parameters: the ends of the range of fingerprints that begin with what each of them says.
_LOW, _HIGH = tuple(f"low{at}" for at in range(ASKED)), tuple(f"high{at}" for at in range(ASKED))


@dataclass(slots=True)
class Known:
    """An event in the store: its fingerprint, what may distinguish it, and the record that it was joined to."""

    fingerprint: bytes
    computer: str
    number: int | None
    at: int
    record_id: bytes | None = None
    # Already met in this batch.
    met: bool = False

    def is_(self, event: Event, computer: str) -> bool:
        """Whether it is `event`, which has the same values and was logged by `computer` (as it may be stored)."""
        if not same_computer(self.computer, computer):
            return False
        if self.number is not None and event.record_id is not None:
            return self.number == event.record_id
        apart = abs(self.at - event.at)
        if apart <= SECOND_MS:
            return True
        # The client's own time is to the minute, so two requests with equal values are within a minute of each other.
        # A difference of whole quarters of an hour means that the zone was not known.
        over = apart % QUARTER_MS
        return event.client_time is not None and apart <= ZONES_MS and min(over, QUARTER_MS - over) <= SECOND_MS


def same_computer(one: str, other: str) -> bool:
    """Whether two names may be one computer's. A name without its domain may match; no name matches any."""
    one, other = one.lower(), other.lower()
    if not one or not other or one == other:
        return True
    short, _, domain = one.partition(".")
    other_short, _, other_domain = other.partition(".")
    return short == other_short and not (domain and other_domain)


def known_events(reader: Reader, events: Sequence[Event], *, first: bool = True) -> dict[bytes, list[Known]]:
    """The stored events with the values of some of `events`, by the first half of their fingerprint.

    Those stored by the first release are under their whole fingerprint; without `first`, the store has none of them.
    """
    found: dict[bytes, list[Known]] = defaultdict(list)
    for facts in _chunks(sorted({event.facts for event in events})):
        halves = [*facts, *([facts[-1]] * (ASKED - len(facts)))]
        ranges = dict(zip(_LOW, [half + _LEAST for half in halves], strict=True))
        ranges.update(zip(_HIGH, [half + _MOST for half in halves], strict=True))
        for row in rows(reader, "events alike", ranges):
            known = _known(row)
            found[known.fingerprint[:8]].append(known)
    for old in _chunks([event.first_fingerprint for event in events] if first else []):
        wholes = [*old, *([old[-1]] * (ASKED - len(old)))]
        for row in rows(reader, "the same events", dict(zip(_LOW, wholes, strict=True))):
            known = _known(row)
            found[known.fingerprint].append(known)
    return found


def _known(row: Sequence[Any]) -> Known:
    fingerprint, computer, number, at, record_id = row
    return Known(bytes(fingerprint), computer, number, at, None if record_id is None else bytes(record_id))


_LEAST, _MOST = bytes(8), b"\xff" * 8


def _chunks(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(values), ASKED):
        yield values[start : start + ASKED]


def find(known: Iterable[Known], event: Event, computer: str) -> Known | None:
    """Among the events with the same values, the one that `event` is; the nearest in time if there are several."""
    fitting = [each for each in known if each.is_(event, computer)]
    return min(fitting, key=lambda each: abs(each.at - event.at), default=None)
