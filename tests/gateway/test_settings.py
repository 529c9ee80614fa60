"""Contradictions in the gateway's settings, and how the same host is recognised."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kmstwist.addresses import HostPort
from kmstwist.gateway.settings import GatewaySettings, host_key


def upstreams(*given: dict[str, Any]) -> dict[str, Any]:
    return {"upstreams": given}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"pool": {"floor": 9, "ceiling": 8}}, r"floor \(9\) is above ceiling \(8\); lower floor"),
        (
            {"health": {"backoff_first": 60, "backoff_longest": 30}},
            r"backoff_first \(60\) is above backoff_longest \(30\); lower backoff_first",
        ),
        ({"attempt_timeout": 9, "deadline": 8}, r"attempt_timeout \(9\) is above deadline \(8\): one silent host"),
        (
            upstreams({"name": "a", "address": "kms1"}, {"name": "a", "address": "kms2"}),
            "two upstreams are named 'a'; give each its own name",
        ),
        (
            upstreams({"name": "a", "address": "kms1"}, {"name": "b", "address": "KMS1.:1688"}),
            "'a' and 'b' are the same host",
        ),
        (upstreams({"address": "kms1"}, {"address": "kms1"}), "two upstreams are the same host"),
        (upstreams({"name": "a\n", "address": "kms1"}), "is not a name for logs and commands"),
    ],
)
def test_contradictory_settings_are_reported(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GatewaySettings.model_validate(document)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("fd00::1:1688", r"write \[fd00::1\]:1688 or \[fd00::1:1688\]"),
        ("kms.münchen.example", "write kms.xn--mnchen-3ya.example, as DNS has it"),
        ("kms..münchen.example", "write HOST or HOST:PORT"),
        ("kms1 münchen", "write HOST or HOST:PORT"),
    ],
)
def test_an_address_that_may_be_meant_otherwise_is_refused_with_what_to_write(address: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GatewaySettings.model_validate(upstreams({"address": address}))


@pytest.mark.parametrize("address", ["fd00::1:1689", "fd00::1688", "2001:db8:0:0:0:0:1:1688", "[fd00::1:1688]"])
def test_an_ipv6_address_that_cannot_be_meant_otherwise_is_taken(address: str) -> None:
    assert GatewaySettings.model_validate(upstreams({"address": address})).upstreams[0].host_port.port == 1688


def test_a_deadline_alone_may_be_shorter_than_an_attempt() -> None:
    assert GatewaySettings.model_validate({"deadline": 1}).deadline == 1


@pytest.mark.parametrize(
    ("one", "other"), [("KMS.Example.", "kms.example"), ("2001:DB8::0:1", "2001:db8::1"), ("10.0.0.7", "10.0.0.7")]
)
def test_a_host_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert host_key(HostPort(one, 1688)) == host_key(HostPort(other, 1688))
    assert host_key(HostPort(one, 1688)) != host_key(HostPort(other, 1689))
