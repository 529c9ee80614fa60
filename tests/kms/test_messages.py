from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms import filetime
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.kms.messages import (
    MAX_MACHINE_NAME,
    REQUEST_BODY_SIZE,
    V4_REQUEST_SIZE,
    MessageError,
    Request,
    Response,
    read_v4_request,
    readable_facts,
)
from kmstwist.kms.version import V4, V6, Version

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFF_FFFF)
U64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
VERSIONS = st.builds(Version, U16, U16)
# 31 characters outside the basic plane are 62 code units.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=31)
REQUESTS = st.builds(
    Request, VERSIONS, U32, U32, U32, st.uuids(), st.uuids(), st.uuids(), st.uuids(), U32, U64, st.uuids(), NAMES
)
RESPONSES = st.builds(Response, VERSIONS, NAMES, st.uuids(), U64, U32, U32, U32)

EXAMPLE = Request(
    version=V4,
    vm_info=1,
    license_status=2,
    minutes_left=43_200,
    app_id=UUID("55c92734-d682-4d71-983e-d6ec3f16059f"),
    act_id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
    kms_id=UUID(int=2),
    cmid=UUID(int=3),
    required_count=25,
    client_time=filetime.from_datetime(datetime(2026, 1, 5, 12, tzinfo=UTC)),
    previous_cmid=UUID(int=0),
    machine_name="PC-1.example.com",
)


@given(REQUESTS)
def test_a_packed_request_unpacks_to_itself(request: Request) -> None:
    body = request.pack()
    assert len(body) == REQUEST_BODY_SIZE == 236
    assert Request.unpack(body) == request


@given(RESPONSES)
def test_a_packed_response_unpacks_to_itself(response: Response) -> None:
    assert Response.unpack(response.pack()) == response


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_message_error(body: bytes) -> None:
    for unpack in (Request.unpack, Response.unpack, read_v4_request):
        with contextlib.suppress(MessageError):
            unpack(body)


@given(st.binary(min_size=236, max_size=236))
def test_a_machine_name_of_any_bytes_can_be_shown(body: bytes) -> None:
    Request.unpack(body).machine_name.encode("utf-8")


def test_each_field_of_a_request_is_at_its_published_offset() -> None:
    body = EXAMPLE.pack()
    assert body[0:4] == b"\x00\x00\x04\x00"
    assert body[4:16] == b"\x01\0\0\0\x02\0\0\0\xc0\xa8\0\0"
    assert body[16:32].hex() == "3427c95582d6714d983ed6ec3f16059f"
    assert body[32:48].hex() == "33221100554477668899aabbccddeeff"
    assert body[80:84] == b"\x19\0\0\0"
    assert body[84:92] == EXAMPLE.client_time.to_bytes(8, "little")
    assert body[108:116] == "PC-1".encode("utf-16-le")
    assert len(body[108:]) == 128


def test_a_response_with_a_pid_of_98_bytes_has_142_bytes() -> None:
    body = Response(V6, "A" * 48, UUID(int=1), 0, 25, 120, 10_080).pack()
    assert body[4:8] == b"\x62\0\0\0"
    assert body[8 + 96 : 8 + 98] == b"\0\0"
    assert body[-12:] == b"\x19\0\0\0\x78\0\0\0\x60\x27\0\0"
    assert len(body) == 142


def test_a_v4_request_is_read_in_clear_without_looking_at_its_mac() -> None:
    message = EXAMPLE.pack() + bytes(16)
    assert len(message) == V4_REQUEST_SIZE == 252
    assert read_v4_request(message) == EXAMPLE


def test_a_message_of_another_version_or_length_is_not_read_as_v4() -> None:
    with pytest.raises(MessageError, match=r"version 6\.0"):
        read_v4_request(V6.word.to_bytes(4, "little") + bytes(248))
    with pytest.raises(MessageError, match="252 bytes"):
        read_v4_request(EXAMPLE.pack())


def test_a_response_whose_pid_size_lies_is_refused() -> None:
    body = bytearray(Response(V6, "LAB", UUID(int=1), 0, 1, 120, 10_080).pack())
    for size in (0, 1, 7, 10, 130, 0xFFFF_FFFF):
        body[4:8] = size.to_bytes(4, "little")
        with pytest.raises(MessageError):
            Response.unpack(bytes(body))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("x" * 64, "at most 63"), ("a\0b", "NUL"), ("\ud800", "surrogate"), ("😀" * 32, "at most 63")],
)
def test_a_machine_name_that_does_not_fit_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(EXAMPLE, machine_name=name).pack()
    assert len(replace(EXAMPLE, machine_name="x" * MAX_MACHINE_NAME).pack()) == 236


def test_a_number_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        replace(EXAMPLE, minutes_left=2**32).pack()


def test_facts_say_what_the_request_says() -> None:
    facts = EXAMPLE.facts("Windows 11 / 10 Enterprise")
    assert facts.machine_name == "PC-1.example.com"
    assert facts.virtual_machine is True
    assert facts.client_time == datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert (facts.minutes_left, facts.required_count, facts.product) == (43_200, 25, "Windows 11 / 10 Enterprise")


def test_the_version_word_is_read_from_the_first_4_bytes() -> None:
    assert Version.of(b"\x01\x00\x06\x00rest") == Version(6, 1)
    assert str(Version(6, 1)) == "6.1"
    with pytest.raises(ValueError, match="3 bytes"):
        Version.of(b"\x00\x00\x06")


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1601, 1, 1)))
def test_a_filetime_converts_back_to_its_moment(moment: datetime) -> None:
    converted = filetime.to_datetime(filetime.from_datetime(moment))
    assert converted == moment


@given(U64)
def test_every_filetime_is_some_moment(ticks: int) -> None:
    assert filetime.to_datetime(ticks).tzinfo is UTC


def test_filetime_and_unix_time_agree_on_the_unix_epoch() -> None:
    assert filetime.from_unix(0.0) == 116_444_736_000_000_000
    assert filetime.to_unix(116_444_736_000_000_000) == 0.0
    assert filetime.from_unix(-1e12) == 0
    assert filetime.from_unix(1e30) == filetime.MAX_FILETIME
    with pytest.raises(ValueError, match="no time zone"):
        filetime.from_datetime(datetime(2026, 1, 1))


@pytest.mark.parametrize(("host_id", "complaint"), [("LAB\0", "NUL"), ("x" * 64, "at most 63 characters")])
def test_a_host_id_that_does_not_fit_is_refused(host_id: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Response(V6, host_id, UUID(int=1), 0, 1, 120, 10_080).pack()


def test_a_message_of_v4_length_that_is_not_v4_yields_nothing() -> None:
    assert readable_facts(V6.word.to_bytes(4, "little") + bytes(248)) is None
    assert readable_facts(b"") is None


def test_a_moment_past_the_year_9999_becomes_the_last_possible_one() -> None:
    assert filetime.to_datetime(2**64 - 1) == datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)


def called(count: int | None, hresult: int = 0) -> ActivationCall:
    """A call of a client that needs 25, whose body the host could read."""
    call = ActivationCall(b"\0\0\6\0", "10.0.0.7", 1)
    call.answered(ActivationAnswer(hresult, b"", count=count, facts=EXAMPLE.facts()), 1.0)
    return call


def test_a_client_is_activated_only_if_the_count_is_enough_for_it() -> None:
    assert called(EXAMPLE.required_count).result == "activated"
    assert called(EXAMPLE.required_count - 1).result == "answered"
    assert called(None).result == "answered"
    assert called(EXAMPLE.required_count, 0xC004F042).result == "refused"
    assert called(1).facts == EXAMPLE.facts()
