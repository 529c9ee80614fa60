"""A minimal writer of EVTX files, so that the reader has real files to read.

After the format's published description (libevtx, "Windows XML Event Log (EVTX)"): a file header of 4096 bytes, chunks
of 65536 bytes, in each a header of 512 bytes and then the records, whose XML is in binary tokens. No templates are
used: every element is written out, each name beside its first use.
"""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, fromstring

CHUNK = 65536
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def filetime(when: datetime) -> int:
    return int((when - _EPOCH).total_seconds() * 10_000_000)


def _name_hash(name: str) -> int:
    value = 0
    for character in name:
        value = (value * 65599 + ord(character)) & 0xFFFFFFFF
    return value & 0xFFFF


def _name(name: str) -> bytes:
    return struct.pack("<IHH", 0, _name_hash(name), len(name)) + name.encode("utf-16-le") + b"\0\0"


def _text(text: str) -> bytes:
    # A value token of type string.
    return struct.pack("<BBH", 0x05, 0x01, len(text)) + text.encode("utf-16-le")


def _element(element: Element, at: int) -> bytes:
    """The tokens of an element that stands at the offset `at` of its chunk."""
    tag = element.tag.partition("}")[2] or element.tag
    attributes = list(element.attrib.items())
    # Outside a template, an element has no dependency identifier.
    head = 9
    name = _name(tag)
    body = b""
    if attributes:
        listed = b""
        begin = at + head + len(name) + 4
        for place, (key, value) in enumerate(attributes):
            token = 0x46 if place + 1 < len(attributes) else 0x06
            offset = begin + len(listed) + 5
            listed += struct.pack("<BI", token, offset) + _name(key) + _text(value)
        body += struct.pack("<I", len(listed)) + listed
    children = list(element)
    if not children and not element.text:
        body += b"\x03"
    else:
        body += b"\x02"
        if not children:
            body += _text(element.text or "")
        for child in children:
            body += _element(child, at + head + len(name) + len(body))
        body += b"\x04"
    token = 0x41 if attributes else 0x01
    return struct.pack("<BII", token, len(name) + len(body), at + head) + name + body


def _record(number: int, when: datetime, xml: str, at: int) -> bytes:
    begin = at + 24
    tokens = b"\x0f\x01\x01\x00" + _element(fromstring(xml), begin + 4) + b"\x00"
    size = 24 + len(tokens) + 4
    return struct.pack("<IIQQ", 0x00002A2A, size, number, filetime(when)) + tokens + struct.pack("<I", size)


def _chunk(records: list[tuple[int, datetime, str]]) -> bytes:
    data, last = b"", 512
    for number, when, xml in records:
        last = 512 + len(data)
        data += _record(number, when, xml, last)
    assert len(data) <= CHUNK - 512
    first, final = records[0][0], records[-1][0]
    head = struct.pack(
        "<8sQQQQIIII", b"ElfChnk\0", first, final, first, final, 128, last, 512 + len(data), zlib.crc32(data)
    )
    head = head.ljust(120, b"\0")
    tables = bytes(512 - 128)
    checksum = zlib.crc32(head + tables)
    return (head + struct.pack("<II", 0, checksum) + tables + data).ljust(CHUNK, b"\0")


def evtx(events: list[tuple[int, datetime, str]], per_chunk: int = 8) -> bytes:
    """An EVTX file of events, each a record number, a time, and the text of an `<Event>` element."""
    chunks = [_chunk(events[at : at + per_chunk]) for at in range(0, len(events), per_chunk)]
    head = struct.pack(
        "<8sQQQIHHHH", b"ElfFile\0", 0, len(chunks) - 1, events[-1][0] + 1, 128, 1, 3, 4096, len(chunks)
    ).ljust(120, b"\0")
    head += struct.pack("<II", 0, zlib.crc32(head))
    return head.ljust(4096, b"\0") + b"".join(chunks)
