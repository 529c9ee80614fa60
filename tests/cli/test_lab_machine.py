from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.lab.lab import lab


def new(tmp_path, *words: str):
    product = "--product=Windows 11 / 10 Enterprise"
    result = CliRunner().invoke(lab, ["machine", "new", "PC1", product, f"--state-dir={tmp_path}", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("text", ["corp.example:99", "[::1]", "10.0.0.1", ""])
def test_a_domain_that_is_none_is_refused(tmp_path, text) -> None:
    result = new(tmp_path, f"--domain={text}")
    assert result.exit_code == 1
    assert "corp.example" in result.output
    assert new(tmp_path).exit_code == 0


def test_an_internationalised_domain_is_kept_as_dns_has_it(tmp_path) -> None:
    assert "PC1.xn--bcher-kva.example (virtual)" in new(tmp_path, "--domain=Bücher.example.").output
