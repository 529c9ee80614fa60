"""The messages of an update, and the answers a server may give: no network."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdatatype
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.tsig import TsigKey
from kmstwist.discovery.publishing.update import (
    SignedMessage,
    UpdateFailed,
    addition,
    check_answer,
    removal,
    sign,
)
from kmstwist.reasons import Reason

OURS = Publication("corp.test", "gw.corp.test", priority=1, weight=2, port=1700, ttl=900)
KEY = TsigKey("gateway", "hmac-sha256", b"0123456789abcdef")
NOW = 1_800_000_000.0


def sections(message: dns.update.UpdateMessage) -> list[str]:
    return [rrset.to_text() for rrset in message.update]


def judged(answer: bytes, sent: SignedMessage) -> UpdateFailed:
    with pytest.raises(UpdateFailed) as caught:
        check_answer(answer, sent, "192.0.2.53:53", "corp.test", NOW)
    return caught.value


def test_an_addition_adds_one_record_and_deletes_nothing() -> None:
    message = addition("corp.test", OURS)
    assert sections(message) == ["_vlmcs._tcp.corp.test. 900 IN SRV 1 2 1700 gw"]
    assert message.prerequisite == []
    assert all(rrset.deleting is None for rrset in message.update)


def test_a_removal_names_the_exact_record_and_never_the_set() -> None:
    message = removal("corp.test", OURS)
    (rrset,) = message.update
    assert rrset.deleting == dns.rdataclass.NONE
    assert [str(rdata) for rdata in rrset] == ["1 2 1700 gw"]


def test_a_signature_holds_the_time_it_is_given() -> None:
    signed = sign(addition("corp.test", OURS), KEY, NOW)
    read = dns.message.from_wire(signed.wire, keyring=False)
    assert read.tsig is not None
    assert read.tsig[0].time_signed == int(NOW)
    assert read.tsig[0].mac == signed.mac


def test_an_unsigned_update_has_no_signature() -> None:
    assert not dns.message.from_wire(sign(addition("corp.test", OURS), None, NOW).wire).had_tsig


@pytest.mark.parametrize(
    ("rcode", "reason", "words"),
    [
        (dns.rcode.REFUSED, Reason.DNS_REFUSED, "not signed with a TSIG key"),
        (dns.rcode.NOTAUTH, Reason.DNS_NOT_ZONE, "not responsible for the zone corp.test"),
        (dns.rcode.NOTZONE, Reason.DNS_NOT_ZONE, "not in the zone corp.test"),
        (dns.rcode.SERVFAIL, Reason.DNS_SERVER_FAILURE, "its log says why"),
        (dns.rcode.NOTIMP, Reason.DNS_REFUSED, "no dynamic updates at all"),
        (dns.rcode.FORMERR, Reason.DNS_BAD_ANSWER, "does not understand"),
        (dns.rcode.YXDOMAIN, Reason.DNS_SERVER_FAILURE, "did not do the update"),
    ],
)
def test_each_result_code_has_its_sentence(rcode: dns.rcode.Rcode, reason: Reason, words: str) -> None:
    sent = sign(addition("corp.test", OURS), None, NOW)
    answer = dns.message.make_response(dns.message.from_wire(sent.wire))
    answer.set_rcode(rcode)

    failed = judged(answer.to_wire(), sent)

    assert failed.reason is reason
    assert words in str(failed)
    assert str(failed).endswith(f"({dns.rcode.to_text(rcode)}).")


def test_success_without_a_signature_does_not_count_for_a_signed_update() -> None:
    sent = sign(addition("corp.test", OURS), KEY, NOW)
    answer = dns.message.make_response(dns.message.from_wire(sent.wire, keyring=False))
    answer.tsig = None
    assert judged(answer.to_wire(), sent).reason is Reason.DNS_BAD_ANSWER


def test_success_signed_with_another_secret_does_not_count() -> None:
    sent = sign(addition("corp.test", OURS), KEY, NOW)
    forger = TsigKey("gateway", "hmac-sha256", b"another secret..")
    answer = dns.message.Message(id=sent.id)
    answer.flags = dns.flags.QR | dns.opcode.to_flags(dns.opcode.UPDATE)
    answer.use_tsig(forger.key)
    answer.request_mac = sent.mac
    assert judged(answer.to_wire(), sent).reason is Reason.DNS_BAD_ANSWER


def test_an_answer_to_another_question_does_not_count() -> None:
    sent = sign(addition("corp.test", OURS), None, NOW)
    answer = dns.message.make_response(dns.message.from_wire(sent.wire))
    answer.id = sent.id ^ 1
    assert judged(answer.to_wire(), sent).reason is Reason.DNS_BAD_ANSWER


@given(st.binary(max_size=80))
def test_any_bytes_are_success_or_a_sentence(answer: bytes) -> None:
    sent = sign(addition("corp.test", OURS), KEY, NOW)
    assert str(judged(answer, sent)).endswith(".")
