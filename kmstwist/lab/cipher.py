"""The protection of the lab's messages: standard constructions with the lab's own keys.

Version 4 is the body and its AES-128-CMAC. Version 5 is version word, random IV and the body under AES-128-CBC with
PKCS #7 padding. Version 6 adds an HMAC-SHA256, cut to 16 bytes, over everything before it (encrypt-then-MAC). The
version word is in clear and again inside the body, and both must agree.

Version 5 has no MAC, since its original has none: there a message is recognised as the lab's by its padding, length and
inner version: 8 bytes in a request, which a message under another key has by chance with a probability of 2⁻⁶⁴.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest, digest
from typing import Protocol

from Crypto.Cipher import AES
from Crypto.Hash import CMAC
from Crypto.Util.Padding import pad, unpad

from kmstwist.kms.messages import MAC_SIZE, REQUEST_BODY_SIZE, MessageError, Request, Response
from kmstwist.kms.version import VERSION_SIZE, Version
from kmstwist.lab.errors import NotOurs
from kmstwist.lab.keys import LabKey

BLOCK_SIZE = 16
IV_SIZE = 16
_HEAD_SIZE = VERSION_SIZE + IV_SIZE
# REQUEST_BODY_SIZE padded to whole blocks is 240 bytes.
V4_REQUEST_SIZE = REQUEST_BODY_SIZE + MAC_SIZE
V5_REQUEST_SIZE = _HEAD_SIZE + 240
V6_REQUEST_SIZE = V5_REQUEST_SIZE + MAC_SIZE
# A genuine client's V6 request has the size of a V5 one. It cannot be the lab's, but it is not malformed either, and
# its sender should be told so.
_REQUEST_SIZES = {4: (V4_REQUEST_SIZE,), 5: (V5_REQUEST_SIZE,), 6: (V6_REQUEST_SIZE, V5_REQUEST_SIZE)}
MAX_MESSAGE_SIZE = 1024
"""The most bytes of a message, far more than any version needs; longer ones are refused before any cryptography."""


class _Mode(Protocol):
    """A cipher in a mode of operation; the library has no public name for it."""

    def encrypt(self, plaintext: bytes) -> bytes:
        """The ciphertext of whole blocks."""

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The plaintext of whole blocks."""


class LabCipher:
    """Seals and opens messages with one lab's keys; `random` returns that many unpredictable bytes, for IVs.

    The `seal` methods raise `ValueError` for values that do not fit and for versions other than 4, 5 and 6; the `open`
    methods raise `MessageError` for bytes that are not a message, and `NotOurs` for a message that does not verify.
    """

    def __init__(self, key: LabKey, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random
        # Keyed once and copied for each message: setting up costs more than a message does.
        self._v4_mac = CMAC.new(key.v4_mac, ciphermod=AES)

    def seal_request(self, request: Request) -> bytes:
        """The whole message of a request: 252, 260 or 276 bytes in version 4, 5 or 6."""
        return self._seal(request.version, request.pack())

    def open_request(self, message: bytes) -> Request:
        """The request in a whole message."""
        version = _version_of(message)
        if len(message) not in _REQUEST_SIZES[version.major]:
            raise _wrong_length(version, message, "a request")
        body = self._open(version, message)
        if len(body) != REQUEST_BODY_SIZE:
            raise _refusal(version, message)
        request = Request.unpack(body)
        _check_inner(version, request.version)
        return request

    def seal_response(self, response: Response) -> bytes:
        """The whole message of a response, in the response's own version."""
        return self._seal(response.version, response.pack())

    def open_response(self, message: bytes) -> Response:
        """The response in a whole message."""
        version = _version_of(message)
        body = self._open(version, message)
        try:
            response = Response.unpack(body)
        except MessageError:
            raise _refusal(version, message) from None
        _check_inner(version, response.version)
        return response

    def _seal(self, version: Version, body: bytes) -> bytes:
        if version.major not in _REQUEST_SIZES:
            raise ValueError(_unknown(version))
        if version.major == 4:
            return body + self._cmac(body)
        head = body[:VERSION_SIZE] + self._random(IV_SIZE)
        sealed: bytes = head + self._aes(version, head).encrypt(pad(body, BLOCK_SIZE))
        return sealed + self._hmac(sealed) if version.major == 6 else sealed

    def _open(self, version: Version, message: bytes) -> bytes:
        if version.major == 4:
            return self._open_v4(version, message)
        sealed = self._authentic_v6(version, message) if version.major == 6 else message
        enciphered = len(sealed) - _HEAD_SIZE
        if enciphered < BLOCK_SIZE or enciphered % BLOCK_SIZE:
            raise _wrong_length(version, message, "a message")
        try:
            body: bytes = unpad(self._aes(version, sealed).decrypt(sealed[_HEAD_SIZE:]), BLOCK_SIZE)
        except ValueError:
            raise _refusal(version, message) from None
        return body

    def _open_v4(self, version: Version, message: bytes) -> bytes:
        body, mac = message[:-MAC_SIZE], message[-MAC_SIZE:]
        if len(body) < VERSION_SIZE:
            raise _wrong_length(version, message, "a message")
        if not compare_digest(mac, self._cmac(body)):
            raise NotOurs("this V4 message does not carry the lab's MAC")
        return body

    def _authentic_v6(self, version: Version, message: bytes) -> bytes:
        sealed, mac = message[:-MAC_SIZE], message[-MAC_SIZE:]
        if len(sealed) < VERSION_SIZE:
            raise _wrong_length(version, message, "a message")
        if not compare_digest(mac, self._hmac(sealed)):
            raise NotOurs("this V6 message does not carry the lab's MAC")
        return sealed

    def _aes(self, version: Version, sealed: bytes) -> _Mode:
        key = self._key.v5_enc if version.major == 5 else self._key.v6_enc
        return AES.new(key, AES.MODE_CBC, iv=sealed[VERSION_SIZE:_HEAD_SIZE])

    def _cmac(self, body: bytes) -> bytes:
        mac = self._v4_mac.copy()
        mac.update(body)
        return mac.digest()

    def _hmac(self, sealed: bytes) -> bytes:
        # A tenth of what the same costs with PyCryptodome's objects.
        return digest(self._key.v6_mac, sealed, "sha256")[:MAC_SIZE]


def _version_of(message: bytes) -> Version:
    if len(message) > MAX_MESSAGE_SIZE:
        raise MessageError(f"a KMS message has at most {MAX_MESSAGE_SIZE} bytes; this one has {len(message)}")
    try:
        version = Version.of(message)
    except ValueError as error:
        raise MessageError(str(error)) from None
    if version.major not in _REQUEST_SIZES:
        raise MessageError(_unknown(version))
    return version


def _unknown(version: Version) -> str:
    return f"{version} is not a KMS protocol version; 4, 5 and 6 are"


def _wrong_length(version: Version, message: bytes, what: str) -> MessageError:
    return MessageError(f"{len(message)} bytes is not a length of {what} of version {version}")


def _refusal(version: Version, message: bytes) -> MessageError:
    """Why the opened bytes are not a body: in version 5 this shows a foreign message; others were authentic so far."""
    if version.major == 5:
        return NotOurs("this V5 message does not decipher with the lab's key")
    return _wrong_length(version, message, "this kind of message")


def _check_inner(outer: Version, inner: Version) -> None:
    if outer != inner:
        raise NotOurs(f"this message is of version {outer} outside and {inner} inside")
