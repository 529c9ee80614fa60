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
        "0xC004F074\r\n",
        "0xCOO4FO74",
        "OxC004F074",
        "hr=0xC004F074",
        "Error:0xC004F074",
        "rc=-1073418124",
        "error code: 3221549172",
        "Run 'slui.exe 0x2a 0xC004F074' to display the error text.",
        "Fehler: 0xC004F074 Der Softwarelizenzierungsdienst hat gemeldet, dass",
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
    ("text", "meant"), [("0xC004F03", "0xC004F038"), ("0xC004F704", "0xC004F074"), ("0xC004F0742", "")]
)
def test_a_code_mistyped_brings_the_known_ones_it_is_like(text: str, meant: str) -> None:
    result = CliRunner().invoke(errors, [text])
    assert result.exit_code == 1
    assert f"is it {meant}" in result.output if meant else "does not fit in 32 bits" in result.output
    assert result.output.count("is it ") <= 3


@pytest.mark.parametrize("arguments", [["0x8007232b,0x8007007b"], ["Fehler", "0x8007232B", "oder", "0x8007007B"]])
def test_several_codes_in_one_argument_or_line_are_each_explained(arguments: list[str]) -> None:
    result = CliRunner().invoke(errors, arguments)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines() if line[0] == "0"] == ["0x8007232B", "0x8007007B"]


def test_the_message_for_an_event_s_number_says_that_it_is_not_a_code() -> None:
    assert "it is the number of an event" in CliRunner().invoke(errors, ["12288"]).stderr


def test_a_licence_of_the_store_is_for_information() -> None:
    assert "nothing to do" in CliRunner().invoke(errors, ["0x4004F401"]).output


def test_a_code_like_no_other_has_no_suggestion() -> None:
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


def test_a_text_that_is_not_a_code_gets_a_sentence() -> None:
    result = CliRunner().invoke(errors, ["help-me"])
    assert result.exit_code == 1
    assert 'Error: "help-me" is not a status code' in result.output


def test_without_a_code_all_are_listed() -> None:
    result = CliRunner().invoke(errors, [])
    assert result.exit_code == 0
    assert any(line.startswith("0xC004F038  SL_E_VL_NOT_ENOUGH_COUNT: ") for line in result.output.splitlines())


def test_one_unreadable_argument_does_not_hide_the_others() -> None:
    result = CliRunner().invoke(errors, ["0xC004F038", "nonsense", "0x80072EFD"])
    assert result.exit_code == 1
    assert '"nonsense" is not a status code' in result.output
    assert "0xC004F038 SL_E_VL_NOT_ENOUGH_COUNT" in result.output
    assert "0x80072EFD HRESULT_FROM_WIN32(ERROR_INTERNET_CANNOT_CONNECT)" in result.output


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("Error: 0xC004F074 The Software Licensing Service reported that ...", ["0xC004F074"]),
        ("ERROR CODE: 0x4004F040 (for information purposes only as the status is licensed)", ["0x4004F040"]),
        ("ERROR CODE: 0xC004F074", ["0xC004F074"]),
        ("On a computer running Microsoft Windows non-core edition, run 'slui.exe 0x2a 0x8007232B'", ["0x8007232B"]),
        ("hr = -2147012721, then C004F038", ["0x80072F8F", "0xC004F038"]),
        ("License Activation (slui.exe) failed with the following error code: hr=0xC004F035", ["0xC004F035"]),
        ("SL_E_VL_INVALID_TIMESTAMP was returned", ["0xC004F06C"]),
    ],
)
def test_a_pasted_line_is_searched_for_its_codes_quoted_or_not(line: str, codes: list[str]) -> None:
    for arguments in ([line], line.split()) if "0x" in line else ([line],):
        output = CliRunner().invoke(errors, arguments).output
        explained = [text.split()[0] for text in output.splitlines() if text.startswith("0x") and "decimal" in text]
        assert explained == codes


def test_a_line_without_a_code_gets_a_sentence() -> None:
    result = CliRunner().invoke(errors, ["the machine does not activate"])
    assert result.exit_code == 1
    assert 'there is no status code in "the machine does not activate"' in result.output


def test_a_long_meaning_is_folded_under_itself_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import kmstwist.cli.clients.errors as module

    lines: list[str] = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("click.echo", lines.append)
    module._wrapped("meaning:", "word " * 40)
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith(" " * 11) for line in lines[1:])


@pytest.mark.parametrize(
    ("code", "words"),
    [("0x80072730", "`net helpmsg 10032` shows its text"), ("0x81234567", "look for it in Microsoft's")],
)
def test_for_an_unknown_code_the_message_says_who_may_know_it(code: str, words: str) -> None:
    result = CliRunner().invoke(errors, [code])
    assert result.exit_code == 1
    assert words in result.stderr
