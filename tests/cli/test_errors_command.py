from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.errors import errors


@pytest.mark.parametrize("text", ["0xC004F074", "c004f074", "3221549172", "-1073418124"])
def test_a_code_is_explained_however_it_is_written(text: str) -> None:
    result = CliRunner().invoke(errors, [text])
    assert result.exit_code == 0
    assert "0xC004F074 SL_E_VL_BINDING_SERVICE_UNAVAILABLE" in result.output
    assert "signed -1073418124" in result.output
    assert "No Key Management Service (KMS) could be contacted" in result.output
    assert "cure:" in result.output


def test_several_codes_are_explained_in_turn_and_an_unknown_one_fails() -> None:
    result = CliRunner().invoke(errors, ["1722", "0x12345678"])
    assert result.exit_code == 1
    assert "RPC server is unavailable" in result.output
    assert "0x12345678 (305419896): no meaning is known here" in result.output


def test_what_is_no_code_gets_a_sentence() -> None:
    result = CliRunner().invoke(errors, ["help-me"])
    assert result.exit_code == 1
    assert 'Error: "help-me" is no status code' in result.output


def test_without_a_code_all_are_listed() -> None:
    result = CliRunner().invoke(errors, [])
    assert result.exit_code == 0
    assert any(line.startswith("0xC004F038  SL_E_VL_NOT_ENOUGH_COUNT: ") for line in result.output.splitlines())
