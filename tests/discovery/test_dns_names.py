from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup import dns_names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Corp.Example.", "corp.example"),
        (" corp.example ", "corp.example"),
        ("_vlmcs._tcp.corp.example", "corp.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("local", "local"),
    ],
)
def test_a_domain_is_written_one_way(written: str, meant: str) -> None:
    assert dns_names.domain(written) == meant


@pytest.mark.parametrize("wrong", ["", ".", "a..b", "has space.example", "a" * 64 + ".example", "-x.example", "1.2.3"])
def test_what_is_not_a_domain_is_refused_in_a_sentence(wrong: str) -> None:
    with pytest.raises(dns_names.NameInvalid) as caught:
        dns_names.domain(wrong)
    assert caught.value.problem.what
    assert not str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("_vlmcs.corp.example", "corp.example"),
        ("vlmcs._tcp.corp.example", "corp.example"),
        ("_vlmcs._udp.Corp.Example.", "corp.example"),
        ("_vlmcs._tcp._vlmcs._tcp.corp.example", "corp.example"),
        ("_vlmcs._tcp", "corp.example"),
    ],
)
def test_a_name_close_to_the_service_s_gets_a_hint_at_the_domain_meant(wrong: str, meant: str) -> None:
    with pytest.raises(dns_names.NameInvalid, match=f"give the domain only, such as {meant}$"):
        dns_names.domain(wrong)


def test_a_domain_must_leave_room_for_the_service_before_it() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 49])
    assert len(dns_names.service_name(dns_names.domain(longest))) == 253
    with pytest.raises(dns_names.NameInvalid, match="it has 254 characters, and DNS allows 253"):
        dns_names.domain(longest + "b")


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [("10.0.0.7", "A or AAAA record"), ("2001:db8::7", "A or AAAA record"), ("gw", "gw.corp.example")],
)
def test_an_srv_target_must_be_a_full_name_and_the_error_names_the_cure(wrong: str, cure: str) -> None:
    with pytest.raises(dns_names.NameInvalid, match=cure):
        dns_names.host_name(wrong)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("KMS.corp.example", HostPort("kms.corp.example", 53)),
        ("kms.corp.example:1689", HostPort("kms.corp.example", 1689)),
        ("2001:db8::7", HostPort("2001:db8::7", 53)),
        ("[2001:db8::7]:1689", HostPort("2001:db8::7", 1689)),
        ("10.0.0.7", HostPort("10.0.0.7", 53)),
    ],
)
def test_a_host_with_or_without_a_port_is_read(written: str, meant: HostPort) -> None:
    assert dns_names.host_port(written, 53) == meant


@pytest.mark.parametrize(
    "wrong", ["", ":1688", "kms:0", "kms:65536", "kms:x", "[::1", "1.2.3.4.5", "a:b:c", "10.0.0.300"]
)
def test_what_is_not_a_host_and_port_is_refused_in_a_sentence(wrong: str) -> None:
    with pytest.raises(dns_names.NameInvalid) as caught:
        dns_names.host_port(wrong, 53)
    assert caught.value.problem.what
    assert not str(caught.value).endswith(".")


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused_and_a_name_stays_itself(text: str) -> None:
    try:
        name = dns_names.domain(text)
    except dns_names.NameInvalid:
        return
    assert dns_names.domain(name) == name
    assert name.isascii()
