"""The fixed parts of all PDUs in both byte orders (C706 12.6.3.1, 12.6.4, 14.1; [MS-RPCE] 2.2.2)."""

from __future__ import annotations

import struct
from typing import Final


class Layout:
    """The fixed parts of all PDUs in one byte order."""

    __slots__ = (
        "after_drep",
        "auth",
        "bind",
        "bind_ack",
        "context",
        "drep",
        "fault",
        "header",
        "little",
        "nak",
        "outcome",
        "request",
        "request_start",
        "response",
        "response_start",
        "tail",
    )

    def __init__(self, order: str) -> None:
        self.little = order == "<"
        #: The data representation: ASCII, IEEE floats, and the byte order in the first byte's upper half.
        self.drep = b"\x10\x00\x00\x00" if self.little else b"\x00\x00\x00\x00"
        self.header = struct.Struct(order + "BBBB4sHHI")
        self.tail = struct.Struct(order + "HHI")
        self.bind = struct.Struct(order + "HHIB")
        self.context = struct.Struct(order + "HBx")
        self.bind_ack = struct.Struct(order + "HHIH")
        self.outcome = struct.Struct(order + "HH20s")
        self.nak = struct.Struct(order + "HB")
        self.request = struct.Struct(order + "IHH")
        self.response = struct.Struct(order + "IHBB")
        # The header and the body's fixed part together, for the PDUs of every conversation.
        self.request_start = struct.Struct(order + "BBBB4sHHIIHH")
        self.response_start = struct.Struct(order + "BBBB4sHHIIHBB")
        # The same, from the byte after the data representation on.
        self.after_drep = struct.Struct(order + "HHIIHH")
        self.fault = struct.Struct(order + "IHBBII")
        self.auth = struct.Struct(order + "BBBxI")


LITTLE: Final = Layout("<")
BIG: Final = Layout(">")
