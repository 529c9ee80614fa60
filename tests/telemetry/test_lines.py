"""A conversation's line is made by a faster way than other lines, with the same text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.logevents import CONVERSATION
from kmstwist.telemetry.lines import format_text

TEXT = st.text(max_size=12) | st.sampled_from(["", "6.0", "PC-17", 'with "quotes"', "two words", "\n", "ümlaut"])
NUMBER = st.integers(0, 2**31)
DURATION = st.floats(0, 1e7)
#: The possible values of each field of a conversation.
VALUES = {
    **dict.fromkeys(CONVERSATION.fields, TEXT | st.none()),
    "client": st.text(min_size=1, max_size=12) | st.ip_addresses().map(str),
    "port": NUMBER,
    "count": NUMBER | st.none(),
    "bind_ms": DURATION | st.none(),
    "call_ms": DURATION | st.none(),
    "total_ms": DURATION,
    "bytes_in": NUMBER,
    "bytes_out": NUMBER,
}


@given(st.tuples(*VALUES.values()))
def test_a_conversation_s_line_reads_as_any_other_event_with_its_fields(values: tuple[object, ...]) -> None:
    fields = dict(zip(VALUES, values, strict=True))
    other = format_text("", "info", "other", fields)
    assert format_text("", "info", "conversation", fields) == other.replace("info other", "info conversation", 1)


@given(st.sets(st.sampled_from(sorted(CONVERSATION.fields))), st.data())
def test_so_does_a_line_without_some_fields(some: set[str], data: st.DataObject) -> None:
    fields = {name: data.draw(VALUES[name]) for name in CONVERSATION.fields if name in some}
    other = format_text("", "info", "other", fields)
    assert format_text("", "info", "conversation", fields) == other.replace("info other", "info conversation", 1)
