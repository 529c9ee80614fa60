"""Packages that a configuration needs and that may not be installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kmstwist.cli.gateway.config import config
from kmstwist.configuration import installed
from kmstwist.configuration.installed import needs
from kmstwist.configuration.model import Config

PUBLISH = '[dns.publish]\ndomains = ["corp.test"]\nhost = "gw.corp.test"\nkeytab = "/etc/kmstwist/kmstwist.keytab"\n'
FORWARD = '[audit]\nforward_to = "postgresql://kms@db.corp.test/kms"\n'
READ = '[web]\nlisten = "127.0.0.1:1689"\nstore = "postgresql://reader@db.corp.test/kms"\n'


@pytest.mark.parametrize(
    ("text", "option", "package", "extra"),
    [
        (PUBLISH, "[dns.publish] keytab", "gssapi", "gssapi"),
        (FORWARD, "[audit] forward_to", "psycopg", "psycopg"),
        (READ, "[web] store", "psycopg", "psycopg"),
        ('[notify]\ntargets = ["mailto://a:b@mail.corp.test"]\n', "[notify] targets", "apprise", "apprise"),
    ],
)
def test_config_check_names_the_package_that_is_missing_and_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, option: str, package: str, extra: str
) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text(text)
    file.chmod(0o600)
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == package else object())
    result = CliRunner().invoke(config, ["check", str(file)])
    assert result.exit_code == 1
    assert f"{option}: this needs the Python package {package}" in result.stderr
    assert extra in result.stderr

    monkeypatch.setattr(installed, "find_spec", lambda name: object())
    assert CliRunner().invoke(config, ["check", str(file)]).exit_code == 0


def test_features_that_are_not_configured_need_no_package() -> None:
    assert not list(needs(Config()))
    assert not list(needs(Config.model_validate({"dns": {"publish": {"keytab": "/a"}}})))
    assert not list(needs(Config.model_validate({"web": {"store": "postgresql://reader@db/kms"}})))
