"""An event's XML in exactly the form in which Windows writes a KMS event, read in one step.

A log has a hundred thousand of them, and building a tree for each takes most of the reading time. An event with
anything else in it, or in another order (an entity, a comment, a prefix for the namespace, a rendered text), is left to
the parser, which also reads the plain form, with the same result.
"""

from __future__ import annotations

import re

from kmstwist.audit.events.model import RawEvent, is_kms, record_number
from kmstwist.audit.events.reading.times import iso_to_ms

NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"

# Text without entities.
_TEXT = "[^<>&]*"
_VALUE = "[^<>&'\"]*"


def _attribute(name: str, group: str = "") -> str:
    value = f"(?P<{group}>{_VALUE})" if group else _VALUE
    quote = f"q{name}" if not group else f"q{group}"
    return rf""" {name}=(?P<{quote}>['"]){value}(?P={quote})"""


def _element(name: str, group: str = "") -> str:
    return f"<{name}>(?P<{group}>{_TEXT})</{name}>" if group else f"(?:<{name}>{_TEXT}</{name}>|<{name}/>)"


_EVENT = re.compile(
    "".join(
        (
            rf"<Event xmlns=(?P<qns>['\"]){re.escape(NAMESPACE)}(?P=qns)><System>",
            rf"<Provider{_attribute('Name', 'name')}(?:{_attribute('Guid')})?"
            rf"(?:{_attribute('EventSourceName', 'source')})?/>",
            rf"<EventID(?:{_attribute('Qualifiers')})?>(?P<id>[0-9]{{1,10}})</EventID>",
            *(_element(name) for name in ("Version", "Level", "Task", "Opcode", "Keywords")),
            rf"<TimeCreated{_attribute('SystemTime', 'time')}/>",
            _element("EventRecordID", "record"),
            "<Correlation/>",
            rf"<Execution{_attribute('ProcessID')}{_attribute('ThreadID')}/>",
            _element("Channel", "channel"),
            _element("Computer", "computer"),
            rf"<Security(?:{_attribute('UserID')})?/></System>",
            rf"<EventData>(?P<data>(?:<Data>{_TEXT}</Data>|<Data/>)*)</EventData></Event>",
        )
    )
)
_FIELDS = ("id", "name", "source", "channel", "time", "data", "computer", "record")


def read_plain(text: str, place: str) -> RawEvent | None:
    """The event in the text of one `<Event>` element; None if the parser must read it. Raises ValueError."""
    # Not printable are line ends, which a parser changes in attributes, and characters that XML does not allow.
    if not text.isprintable() or (found := _EVENT.fullmatch(text)) is None:
        return None
    number, name, source, channel, time, data, computer, record = found.group(*_FIELDS)
    logged = " ".join([each for each in (name, source, channel.strip()) if each])
    event_id = int(number)
    if not is_kms(event_id, logged):
        return RawEvent(place, event_id, 0, source=logged)
    strings = data.replace("<Data/>", "<Data></Data>")[6:-7].split("</Data><Data>") if data else []
    return RawEvent(place, event_id, iso_to_ms(time), strings, "", computer.strip(), record_number(record), logged)
