from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy, SaltError, load_salt
from kmstwist.audit.records import machine_key
from kmstwist.audit.sums.networks import UNKNOWN_NETWORK, network_of
from tests.audit.making import START, known

SALT = bytes(range(32))


def test_nothing_is_changed_unless_asked_for() -> None:
    record = known(START, "pc1.example.com")
    assert Privacy(PrivacyPolicy(), b"").apply(record) is record


def test_truncation_leaves_network_domain_and_the_start_of_the_cmid() -> None:
    policy = PrivacyPolicy(Keep.TRUNCATE, Keep.TRUNCATE, Keep.TRUNCATE, Keep.TRUNCATE)
    record = known(
        START, "pc1.example.com", "10.1.2.3", peer="2001:db8:1:2::3", cmid="01234567-89ab-4cde-8f01-23456789abcd"
    )
    stored = Privacy(policy, SALT).apply(record)
    assert (stored.client, stored.peer) == ("10.1.2.0/24", "2001:db8:1::/48")
    assert (stored.machine, stored.cmid) == ("*.example.com", "01234567")


def test_hashes_are_stable_under_one_salt_and_say_nothing_without_it() -> None:
    policy = PrivacyPolicy(client=Keep.HASH, machine=Keep.HASH)
    one, other = Privacy(policy, SALT), Privacy(policy, SALT[::-1])
    record = known(START, "PC1.example.com", "10.1.2.3", detail="10.1.2.3 was answered")
    stored = one.apply(record)
    assert stored == one.apply(record)
    assert stored.client != other.apply(record).client
    assert "10.1.2.3" not in repr(stored)
    assert "pc1" not in repr(stored).lower()
    assert stored.machine == one.machine("pc1.EXAMPLE.com")


def test_the_same_text_hashes_differently_in_different_fields() -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.HASH, cmid=Keep.HASH), SALT)
    assert privacy.machine("x") != privacy.cmid("x")


def test_the_client_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="about someone"):
        PrivacyPolicy(client=Keep.DROP)


@pytest.mark.parametrize(("choices", "said"), [({"clint": "hash"}, "clint"), ({"client": "hide"}, "hide")])
def test_a_wrong_policy_names_what_is_wrong(choices: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PrivacyPolicy.from_dict(choices)


def test_a_policy_survives_being_written_down() -> None:
    policy = PrivacyPolicy(client=Keep.HASH, cmid=Keep.DROP)
    assert PrivacyPolicy.from_dict(policy.to_dict()) == policy


def test_the_salt_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.salt"
    salt = load_salt(path)
    assert len(salt) == 32
    assert load_salt(path) == salt
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_salt_that_others_may_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "audit.salt"
    load_salt(path)
    path.chmod(0o644)
    with pytest.raises(SaltError, match="chmod 600"):
        load_salt(path)


def test_a_damaged_salt_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "audit.salt"
    load_salt(path)
    path.write_bytes(b"short")
    with pytest.raises(SaltError, match="restore it"):
        load_salt(path)
    assert path.read_bytes() == b"short"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("10.1.2.0/24", "10.1.2.0/24"),
        ("h:0123", UNKNOWN_NETWORK),
        ("x/y", UNKNOWN_NETWORK),
    ],
)
def test_an_address_belongs_to_a_network(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.text(max_size=40))
def test_any_text_has_a_network_and_a_key(text: str) -> None:
    assert network_of(text)
    assert machine_key(text, "10.0.0.7")
