from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.audit.records import Record, Recorder, RecordIds, RecordMaker, Told, first_id_at, id_text
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault, RequestFacts
from kmstwist.reasons import Reason
from tests.audit.making import START, known, opaque, uuid

V6 = (6 << 16).to_bytes(4, "little") + bytes(256)
FACTS = RequestFacts(
    machine_name="PC1.example.com",
    cmid=UUID(uuid("cmid")),
    app_id=UUID(uuid("app")),
    act_id=UUID(uuid("act")),
    kms_id=UUID(uuid("kms")),
    license_status=1,
    minutes_left=100,
    required_count=25,
    virtual_machine=True,
    client_time=datetime(2024, 6, 1, tzinfo=UTC),
    product="Windows 10",
)


def maker() -> RecordMaker:
    return RecordMaker("gw1", lambda: START / 1000, RecordIds(os.urandom))


def call(proxy: str | None = None) -> ActivationCall:
    return ActivationCall(V6, "10.0.0.7", 50000, proxy, started=10.0, receive_ms=1.0)


def test_an_answered_call_is_recorded_with_its_size_version_and_facts() -> None:
    answered = call("10.9.9.9")
    answered.answered(ActivationAnswer(0, b"x" * 200, upstream="kms1", facts=FACTS, count=50), 10.003)
    record = maker().make(answered)
    assert (record.at, record.gateway, record.client, record.peer) == (START, "gw1", "10.0.0.7", "10.9.9.9")
    assert (record.version, record.bytes_in, record.bytes_out) == (6, 260, 200)
    assert (record.machine, record.cmid, record.product) == ("PC1.example.com", uuid("cmid"), "Windows 10")
    assert (record.hresult, record.fault, record.reason) == (0, None, Reason.OK)
    assert record.granted
    assert (record.phases.receive, round(record.phases.answer or 0, 6)) == (1.0, 3.0)


def test_a_faulted_call_is_recorded_with_the_fault_and_its_reason() -> None:
    fault = ActivationFault(0x6BE, Reason.UPSTREAM_TIMEOUT, "kms1 gave no answer in 5 s", upstream="kms1")
    faulted = call()
    faulted.failed(fault, 10.0)
    record = maker().make(faulted)
    assert (record.hresult, record.fault, record.reason) == (None, 0x6BE, Reason.UPSTREAM_TIMEOUT)
    assert (record.upstream, record.detail, record.granted) == ("kms1", "kms1 gave no answer in 5 s", False)


def test_a_refused_peer_is_recorded_without_a_version() -> None:
    refused = ActivationCall(b"", "192.0.2.9", 50000)
    refused.give_up(Reason.RPC_NOT_RPC, "starts with GET")
    refused.bytes_in = 4
    record = maker().make(refused)
    assert (record.version, record.hresult, record.fault, record.client) == (None, None, None, "192.0.2.9")


def test_an_answer_with_too_low_a_count_is_not_a_grant() -> None:
    assert known(START, "pc1", count=25).granted
    assert not known(START, "pc1", count=24).granted
    assert not opaque(START, hresult=0xC004F042).granted


@given(st.lists(st.integers(min_value=0, max_value=2**47), max_size=30), st.binary(min_size=10, max_size=10))
def test_ids_are_version_7_uuids_that_differ_and_begin_with_their_time(times: list[int], entropy: bytes) -> None:
    ids = RecordIds(lambda _: entropy)
    made = [ids.make(at) for at in sorted(times)]
    assert made == sorted(set(made))
    for at, record_id in zip(sorted(times), made, strict=True):
        assert UUID(id_text(record_id)).version == 7
        assert first_id_at(at) <= record_id < first_id_at(at + 1)


class Taken:
    """An audit that stores nothing, and tells at once."""

    def __init__(self) -> None:
        self.maker = maker()
        self.records: list[Record] = []

    def take(self, record: Record, told: Told) -> None:
        self.records.append(record)
        told(None)


def test_a_call_waits_for_no_record_where_there_is_no_audit() -> None:
    told: list[Exception | None] = []
    recorder = Recorder(None)
    recorder.record(call(), told.append)
    recorder.note(call())
    recorder.note_refusal(call())
    assert told == [None]


def test_a_call_is_told_when_its_record_is_stored_and_a_peer_that_merely_left_has_none() -> None:
    audit, told = Taken(), list[Exception | None]()
    recorder = Recorder(audit)
    recorder.record(call(), told.append)
    assert (told, len(audit.records)) == ([None], 1)
    left, refused = call(), call()
    left.reason, refused.reason = Reason.CLIENT_CLOSED, Reason.ADMISSION_NETWORK
    recorder.note_refusal(left)
    recorder.note_refusal(refused)
    assert [record.reason for record in audit.records[1:]] == [Reason.ADMISSION_NETWORK]
