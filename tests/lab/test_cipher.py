from __future__ import annotations

import os
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.kms.messages import MessageError, Request, Response
from kmstwist.kms.version import Version
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.errors import NotOurs
from kmstwist.lab.keys import LabKey

CIPHER = LabCipher(LabKey(bytes(range(32))), os.urandom)
OTHER = LabCipher(LabKey(bytes(32)), os.urandom)
REQUEST = Request(
    Version(6, 0), 0, 2, 100, UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4), 25, 10**17, UUID(int=0), "PC"
)
RESPONSE = Response(Version(6, 0), "LAB-1", UUID(int=4), 10**17, 25, 120, 10_080)
MAJORS = pytest.mark.parametrize("major", [4, 5, 6])
U32 = st.integers(0, 0xFFFF_FFFF)
U64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
VERSIONS = st.builds(Version, st.integers(4, 6), st.integers(0, 0xFFFF))
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=31)


@given(
    st.builds(
        Request, VERSIONS, U32, U32, U32, st.uuids(), st.uuids(), st.uuids(), st.uuids(), U32, U64, st.uuids(), NAMES
    )
)
def test_a_sealed_request_opens_to_itself(request: Request) -> None:
    message = CIPHER.seal_request(request)
    assert Version.of(message) == request.version
    assert CIPHER.open_request(message) == request


@given(st.builds(Response, VERSIONS, NAMES, st.uuids(), U64, U32, U32, U32))
def test_a_sealed_response_opens_to_itself(response: Response) -> None:
    assert CIPHER.open_response(CIPHER.seal_response(response)) == response


@pytest.mark.parametrize(("major", "size"), [(4, 252), (5, 260), (6, 276)])
def test_a_sealed_request_has_the_size_its_layout_adds_up_to(major: int, size: int) -> None:
    assert len(CIPHER.seal_request(replace(REQUEST, version=Version(major, 0)))) == size


@pytest.mark.parametrize("major", [4, 6])
def test_a_request_with_any_one_byte_altered_never_opens(major: int) -> None:
    message = CIPHER.seal_request(replace(REQUEST, version=Version(major, 0)))
    for at in range(len(message)):
        altered = bytearray(message)
        altered[at] ^= 0x01
        with pytest.raises(MessageError):
            CIPHER.open_request(bytes(altered))


@pytest.mark.parametrize("major", [4, 6])
def test_a_response_with_any_one_byte_altered_never_opens(major: int) -> None:
    message = CIPHER.seal_response(replace(RESPONSE, version=Version(major, 0)))
    for at in range(len(message)):
        altered = bytearray(message)
        altered[at] ^= 0x80
        with pytest.raises(MessageError):
            CIPHER.open_response(bytes(altered))


@MAJORS
def test_a_message_of_another_lab_is_not_ours(major: int) -> None:
    with pytest.raises(NotOurs):
        CIPHER.open_request(OTHER.seal_request(replace(REQUEST, version=Version(major, 0))))
    with pytest.raises(NotOurs):
        CIPHER.open_response(OTHER.seal_response(replace(RESPONSE, version=Version(major, 0))))


@MAJORS
def test_a_message_of_a_genuine_clients_shape_is_not_ours(major: int) -> None:
    size = 252 if major == 4 else 260
    with pytest.raises(NotOurs):
        CIPHER.open_request(
            Version(major, 0).word.to_bytes(4, "little") + bytes(range(256))[: size - 4] + bytes(max(0, size - 260))
        )


@MAJORS
def test_a_request_is_not_a_response_and_the_other_way_round(major: int) -> None:
    version = Version(major, 0)
    with pytest.raises(MessageError):
        CIPHER.open_response(CIPHER.seal_request(replace(REQUEST, version=version)))
    with pytest.raises(MessageError):
        CIPHER.open_request(CIPHER.seal_response(replace(RESPONSE, version=version)))


def test_an_outer_version_that_is_not_the_inner_one_is_refused() -> None:
    message = bytearray(CIPHER.seal_request(replace(REQUEST, version=Version(5, 0))))
    message[0] = 1
    with pytest.raises(NotOurs, match=r"5\.1 outside and 5\.0 inside"):
        CIPHER.open_request(bytes(message))


def test_two_messages_of_one_request_share_no_bytes_of_cipher_text() -> None:
    first, second = (CIPHER.seal_request(REQUEST) for _ in range(2))
    assert first[4:20] != second[4:20]
    assert first[20:36] != second[20:36]


@pytest.mark.parametrize(
    "message", [b"", b"\0\0\6", bytes(252), b"\0\0\7\0" + bytes(256), b"\0\0\6\0", b"\0\0\4\0" * 5]
)
def test_a_wrong_length_or_version_is_a_bad_message_and_not_a_foreign_one(message: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        CIPHER.open_request(message)
    assert not isinstance(caught.value, NotOurs)


@settings(max_examples=300)
@given(st.sampled_from([b"", b"\0\0\4\0", b"\0\0\5\0", b"\0\0\6\0"]), st.binary(max_size=1100))
def test_no_bytes_raise_anything_but_a_message_error(head: bytes, tail: bytes) -> None:
    for open_message in (CIPHER.open_request, CIPHER.open_response):
        with pytest.raises(MessageError):
            open_message(head + tail)


def test_an_unknown_version_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="not a KMS protocol version"):
        CIPHER.seal_request(replace(REQUEST, version=Version(7, 0)))
