"""Which records and events are near an event: the parameters of the statements that look for them."""

from __future__ import annotations

from kmstwist.audit.events.model import Event
from kmstwist.audit.records import first_id_at


def about(event: Event, window: int) -> dict[str, object]:
    """The parameters that select the records and events near an event's time, with its status.

    `window` is the most that the clocks may differ, in milliseconds. Two events about one record are as far apart as
    twice that.
    """
    return {
        "event_at": event.at,
        "status": event.hresult,
        "first_id": first_id_at(event.at - window),
        "next_id": first_id_at(event.at + window + 1),
        "first_at": event.at - 2 * window,
        "last_at": event.at + 2 * window,
        "first_other": first_id_at(event.at - 2 * window),
        "next_other": first_id_at(event.at + 2 * window + 1),
    }
