"""The bodies of KMS requests and responses: everything but their protection (MAC, initialisation vector, cipher).

Layouts are those of the Volume Activation 2.0 Operations Guide, "KMS RPC Messages"; integers and UUIDs are
little-endian. In version 4 the body travels in clear with a 16-byte MAC behind it; in 5 and 6 it is enciphered, and
only a holder of the key sees it: the lab for the lab's own messages, nobody here for a genuine client's.
"""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from kmstwist.kms.filetime import to_datetime
from kmstwist.kms.version import Version

# Python loads a codec when it is first used. By then a daemon may have given up the right to read that file.
codecs.lookup("utf-16-le")

MACHINE_NAME_SIZE = 128
"""Bytes of the machine name field: 64 UTF-16 code units, the last of them a NUL."""
MAX_MACHINE_NAME = MACHINE_NAME_SIZE // 2 - 1
"""The most UTF-16 code units in a machine name."""
MAX_HOST_ID_SIZE = 128
"""The most bytes of a response's PID field, its NUL included."""
MAC_SIZE = 16
REQUEST_BODY_SIZE = 236
V4_REQUEST_SIZE = REQUEST_BODY_SIZE + MAC_SIZE
RESPONSE_FIXED_SIZE = 44
"""A response body's bytes without its PID."""

_REQUEST = struct.Struct("<IIII16s16s16s16sIQ16s128s")
_RESPONSE_HEAD = struct.Struct("<II")
_RESPONSE_TAIL = struct.Struct("<16sQIII")


class MessageError(ValueError):
    """The bytes are not a KMS message of this kind; the text is a sentence that says why."""


class LicenseStatus(IntEnum):
    """A client's licence state as its request carries it."""

    UNLICENSED = 0
    LICENSED = 1
    OOB_GRACE = 2
    OOT_GRACE = 3
    NON_GENUINE_GRACE = 4
    NOTIFICATION = 5
    EXTENDED_GRACE = 6


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What can be read in a request: all of it in V4 and in the lab's own messages, nothing in genuine V5 or V6."""

    machine_name: str
    cmid: UUID
    app_id: UUID
    act_id: UUID
    kms_id: UUID
    license_status: int
    minutes_left: int
    required_count: int
    virtual_machine: bool
    client_time: datetime
    product: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A KMS request.

    `vm_info` is non-zero on a virtual machine; `license_status` a `LicenseStatus` (kept as the number that came);
    `minutes_left` the minutes until that state expires; `act_id` the product; `kms_id` the key management service it
    belongs to; `cmid` the client machine id; `required_count` its N-Policy, the count it needs; `client_time` its clock
    as a FILETIME; `previous_cmid` the CMID it had before it was generalised.
    """

    version: Version
    vm_info: int
    license_status: int
    minutes_left: int
    app_id: UUID
    act_id: UUID
    kms_id: UUID
    cmid: UUID
    required_count: int
    client_time: int
    previous_cmid: UUID
    machine_name: str

    @property
    def client_datetime(self) -> datetime:
        """The client's clock in UTC."""
        return to_datetime(self.client_time)

    def pack(self) -> bytes:
        """The body, 236 bytes. Raises `ValueError` for a value that its field cannot hold."""
        try:
            return _REQUEST.pack(
                self.version.word,
                self.vm_info,
                self.license_status,
                self.minutes_left,
                self.app_id.bytes_le,
                self.act_id.bytes_le,
                self.kms_id.bytes_le,
                self.cmid.bytes_le,
                self.required_count,
                self.client_time,
                self.previous_cmid.bytes_le,
                encode_machine_name(self.machine_name),
            )
        except struct.error as error:
            raise ValueError(f"a number of this request does not fit its field: {error}") from None

    @classmethod
    def unpack(cls, body: bytes) -> Request:
        """The request in a body of exactly 236 bytes. Raises `MessageError` for any other length."""
        if len(body) != REQUEST_BODY_SIZE:
            raise MessageError(f"a request body has {REQUEST_BODY_SIZE} bytes; this one has {len(body)}")
        word, vm_info, status, minutes, app, act, kms, cmid, required, time, previous, name = _REQUEST.unpack(body)
        return cls(
            version=Version.from_word(word),
            vm_info=vm_info,
            license_status=status,
            minutes_left=minutes,
            app_id=UUID(bytes_le=app),
            act_id=UUID(bytes_le=act),
            kms_id=UUID(bytes_le=kms),
            cmid=UUID(bytes_le=cmid),
            required_count=required,
            client_time=time,
            previous_cmid=UUID(bytes_le=previous),
            machine_name=_decode_text(name),
        )

    def facts(self, product: str | None = None) -> RequestFacts:
        """What an audit record keeps of this request; `product` is the name of `act_id`, if it is known."""
        return RequestFacts(
            machine_name=self.machine_name,
            cmid=self.cmid,
            app_id=self.app_id,
            act_id=self.act_id,
            kms_id=self.kms_id,
            license_status=self.license_status,
            minutes_left=self.minutes_left,
            required_count=self.required_count,
            virtual_machine=self.vm_info != 0,
            client_time=self.client_datetime,
            product=product,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """A KMS response.

    `host_id` is the PID field, the host's name for itself; `cmid` and `client_time` (FILETIME) echo the request's;
    `count` is the host's client count. Both intervals are in minutes: the first until a client that is not activated
    asks again, the second until one that is activated renews.
    """

    version: Version
    host_id: str
    cmid: UUID
    client_time: int
    count: int
    activation_interval: int
    renewal_interval: int

    def pack(self) -> bytes:
        """The body, 44 bytes and those of the PID. Raises `ValueError` for a value that its field cannot hold."""
        if "\0" in self.host_id:
            raise ValueError("a host id cannot contain a NUL character")
        pid = _encode_text(self.host_id, "host id") + b"\0\0"
        if len(pid) > MAX_HOST_ID_SIZE:
            raise ValueError(
                f"a host id has at most {MAX_HOST_ID_SIZE // 2 - 1} characters; {self.host_id!r} is longer"
            )
        try:
            return (
                _RESPONSE_HEAD.pack(self.version.word, len(pid))
                + pid
                + _RESPONSE_TAIL.pack(
                    self.cmid.bytes_le, self.client_time, self.count, self.activation_interval, self.renewal_interval
                )
            )
        except struct.error as error:
            raise ValueError(f"a number of this response does not fit its field: {error}") from None

    @classmethod
    def unpack(cls, body: bytes) -> Response:
        """The response in a body. Raises `MessageError` if its length and its PID size disagree."""
        if len(body) < RESPONSE_FIXED_SIZE:
            raise MessageError(f"a response body has at least {RESPONSE_FIXED_SIZE} bytes; this one has {len(body)}")
        word, pid_size = _RESPONSE_HEAD.unpack_from(body)
        if not 2 <= pid_size <= MAX_HOST_ID_SIZE or pid_size % 2:
            raise MessageError(
                f"the response's PID size of {pid_size} is not an even number from 2 to {MAX_HOST_ID_SIZE}"
            )
        if len(body) != RESPONSE_FIXED_SIZE + pid_size:
            raise MessageError(
                f"a response body with a PID of {pid_size} bytes has {RESPONSE_FIXED_SIZE + pid_size} bytes; "
                f"this one has {len(body)}"
            )
        pid_end = _RESPONSE_HEAD.size + pid_size
        cmid, client_time, count, activation, renewal = _RESPONSE_TAIL.unpack_from(body, pid_end)
        return cls(
            version=Version.from_word(word),
            host_id=_decode_text(body[_RESPONSE_HEAD.size : pid_end]),
            cmid=UUID(bytes_le=cmid),
            client_time=client_time,
            count=count,
            activation_interval=activation,
            renewal_interval=renewal,
        )


def read_v4_request(message: bytes) -> Request:
    """The request in a whole V4 message, which is in clear; its MAC is not checked.

    For the audit: this is what the client says of itself. Raises `MessageError` unless it is 252 bytes of version 4.
    """
    if len(message) != V4_REQUEST_SIZE:
        raise MessageError(f"a V4 request has {V4_REQUEST_SIZE} bytes; this message has {len(message)}")
    version = Version.of(message)
    if version.major != 4:
        raise MessageError(f"this message is of version {version}, whose body is not in clear as that of version 4 is")
    return Request.unpack(message[:REQUEST_BODY_SIZE])


def readable_facts(message: bytes) -> RequestFacts | None:
    """What a V4 message says in clear; None for V5 and V6, whose bodies we cannot read."""
    if len(message) != V4_REQUEST_SIZE:
        return None
    try:
        return read_v4_request(message).facts()
    except MessageError:
        return None


def _encode_text(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-16-le")
    except UnicodeEncodeError:
        raise ValueError(f"the {what} {text!r} has half a surrogate pair, which UTF-16 cannot carry") from None


def encode_machine_name(name: str) -> bytes:
    """A machine name as messages carry it, without its padding. Raises `ValueError` for what no message can carry."""
    encoded = _encode_text(name, "machine name")
    if len(encoded) > MAX_MACHINE_NAME * 2:
        raise ValueError(f"a machine name has at most {MAX_MACHINE_NAME} characters; {name!r} is longer")
    if "\0" in name:
        raise ValueError("a machine name cannot contain a NUL character")
    return encoded


def _decode_text(field: bytes) -> str:
    """The text before the first NUL; what is not UTF-16 becomes U+FFFD, so that any bytes can be shown and stored."""
    return field.decode("utf-16-le", errors="replace").partition("\0")[0]
