from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.clients.errors import errors


@pytest.mark.parametrize(
    "text",
    [
        "0xC004F074",
        "c004f074",
        "3221549172",
        "-1073418124",
        "\N{MINUS SIGN}1073418124",
        " (0xc004f074).",
        "SL_E_VL_BINDING_SERVICE_UNAVAILABLE",
        "sl_e_vl_binding_service_unavailable",
    ],
)
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


@pytest.mark.parametrize(
    ("text", "meant"), [("0xC004F03", "0xC004F038"), ("0xC004F047", "0xC004F074"), ("0xC004F0742", "")]
)
def test_a_code_mistyped_brings_the_known_ones_it_is_like(text: str, meant: str) -> None:
    result = CliRunner().invoke(errors, [text])
    assert result.exit_code == 1
    assert f"is it {meant}" in result.output if meant else "does not fit in 32 bits" in result.output
    assert result.output.count("is it ") <= 3


def test_a_code_like_no_other_brings_none() -> None:
    assert "is it " not in CliRunner().invoke(errors, ["0x12345678"]).output


@pytest.mark.parametrize(
    "code",
    [
        *(
            "0xC004F035",
            "0xC004F038",
            "0xC004F039",
            "0xC004F041",
            "0xC004F042",
            "0xC004F050",
            "0xC004F06C",
            "0xC004F074",
        ),
        *(
            "0x80070005",
            "0x8007000D",
            "0x8007007B",
            "0x80070490",
            "0x8007232A",
            "0x8007232B",
            "0x8007251D",
            "0x80072EE7",
        ),
        *("0x800706BA", "1717", "1722", "1723", "1726", "1727", "1745", "1753", "1783", "10054", "10060", "10061"),
        *("0x1C010002", "0x1C010003", "0x1C010014", "0x1C00001C", "0x1C000012"),
    ],
)
def test_the_codes_that_appear_in_this_field_are_known(code: str) -> None:
    result = CliRunner().invoke(errors, [code])
    assert result.exit_code == 0, result.output


def test_what_is_no_code_gets_a_sentence() -> None:
    result = CliRunner().invoke(errors, ["help-me"])
    assert result.exit_code == 1
    assert 'Error: "help-me" is no status code' in result.output


def test_without_a_code_all_are_listed() -> None:
    result = CliRunner().invoke(errors, [])
    assert result.exit_code == 0
    assert any(line.startswith("0xC004F038  SL_E_VL_NOT_ENOUGH_COUNT: ") for line in result.output.splitlines())
