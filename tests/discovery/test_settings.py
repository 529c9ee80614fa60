from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from kmstwist.discovery.lookup.dns_names import NameInvalid
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.tsig import KeyFileInvalid
from kmstwist.discovery.settings import DnsSettings, PublishSettings


def test_without_any_section_nothing_is_published_or_watched() -> None:
    settings = DnsSettings()
    assert settings.publish.publications("gw.corp.test", 1688) == ()
    assert settings.watch.domains == ()
    assert settings.publish.key() is None


def test_each_domain_has_a_record_once() -> None:
    settings = PublishSettings.model_validate({"domains": ["Corp.test.", "lab.test", "corp.test"], "weight": 7})
    assert settings.publications("gw.corp.test", 1700) == (
        Publication("corp.test", "gw.corp.test", 1700, 0, 7, 3600),
        Publication("lab.test", "gw.corp.test", 1700, 0, 7, 3600),
    )


def test_a_machine_without_a_full_name_must_be_given_one() -> None:
    with pytest.raises(NameInvalid, match="has no domain"):
        PublishSettings(domains=("corp.test",)).publications("gw", 1688)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"publish": {"domains": ["a..b"]}}, "is not a DNS name"),
        ({"publish": {"host": "10.0.0.7"}}, "A or AAAA record"),
        ({"publish": {"priority": 65536}}, "less than or equal to 65535"),
        ({"publish": {"ttl": 0}}, "greater than or equal to 1"),
        ({"publish": {"server": "ns1:0"}}, "1 to 65535"),
        ({"publish": {"timeouts": []}}, "at least 1"),
        ({"publish": {"principal": "kmstwist"}}, "give the keytab too"),
        ({"publish": {"refresh": 5}}, "greater than or equal to 60"),
        ({"publish": {"colour": "red"}}, "Extra inputs"),
        ({"watch": {"hosts": ["bad host"]}}, "is not a host name"),
    ],
)
def test_a_mistake_is_reported_with_its_place(section: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        DnsSettings.model_validate(section)
    assert caught.value.errors()[0]["loc"][0] in section


def test_two_ways_to_sign_are_one_too_many() -> None:
    with pytest.raises(KeyFileInvalid, match="give one of the two"):
        PublishSettings(key_file=Path("/a"), keytab=Path("/b")).key()


def test_a_key_file_s_path_is_kept_and_its_content_is_not_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "gw.key"
    path.write_text('key "gw" { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldA=="; };')
    path.chmod(0o600)
    settings = PublishSettings(key_file=path)
    key = settings.key()
    assert key is not None
    assert "c2VjcmV0" not in repr(settings) + repr(key)
