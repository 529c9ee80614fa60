from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.published_codes import slerror
from kmstwist.kms.status import Status, codes_in, explain, known_codes, near_codes, parse_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0xC004F074", 0xC004F074),
        (" 0xc004f074 ", 0xC004F074),
        ("C004F074", 0xC004F074),
        ("80070005", 0x80070005),
        ("-1073418124", 0xC004F074),
        ("3221549172", 0xC004F074),
        ("1722", 0x6BA),
        ("0x6BA", 0x6BA),
        ("6BA", 0x6BA),
        ("5", 5),
        ("0x1C01000B", 0x1C01000B),
        ("-2147024891", 0x80070005),
    ],
)
def test_a_code_is_read_as_people_write_it(text: str, code: int) -> None:
    assert parse_code(text) == code


@pytest.mark.parametrize("text", ["", "0x", "KMS", "0xC004F0744", "99999999999", "-99999999999", "12.5", "0x-5"])
def test_what_is_not_a_code_is_refused_with_a_sentence_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="status code"):
        parse_code(text)


@given(st.integers(0, 0xFFFF_FFFF))
def test_every_hexadecimal_code_is_read_back(code: int) -> None:
    assert parse_code(f"0x{code:08X}") == code
    assert parse_code(f"{code:08X}") == code
    explain(code)


@pytest.mark.parametrize(
    ("code", "symbol", "words"),
    [
        (0xC004F038, "SL_E_VL_NOT_ENOUGH_COUNT", "count"),
        (0xC004F042, "SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH", "cannot be used"),
        (0xC004F06C, "SL_E_VL_INVALID_TIMESTAMP", "timestamp is invalid"),
        (0x800706BA, "HRESULT_FROM_WIN32(RPC_S_SERVER_UNAVAILABLE)", "RPC server is unavailable"),
        (0x8007232B, "HRESULT_FROM_WIN32(DNS_ERROR_RCODE_NAME_ERROR)", "DNS name does not exist"),
        (0x800706BB, "HRESULT_FROM_WIN32(RPC_S_SERVER_TOO_BUSY)", "too busy"),
        (0x80070005, "E_ACCESSDENIED", "elevated"),
        (0x8004FE21, "", "not running genuine"),
        (0x6F7, "RPC_X_BAD_STUB_DATA", "bad data"),
        (0x1C010003, "NCA_S_UNK_IF", "interface"),
    ],
)
def test_a_published_code_is_explained(code: int, symbol: str, words: str) -> None:
    explanation = explain(code)
    assert explanation is not None
    assert explanation.symbol == symbol
    assert words in explanation.text
    assert explanation.hexadecimal == f"0x{code:08X}"


def test_a_signed_code_is_the_same_code() -> None:
    assert explain(-1073418124) == explain(0xC004F074)


def test_an_unknown_code_has_no_explanation() -> None:
    assert explain(0xC004FFFF) is None
    assert explain(0x8007FFFF) is None


def test_every_code_of_the_table_has_a_text_and_a_cure() -> None:
    codes = known_codes()
    assert len(codes) > 80
    assert [code.code for code in codes] == sorted({code.code for code in codes})
    assert all(code.text and code.cure for code in codes)
    assert not set(Status.__members__) - {member.name for member in Status}, "two names share one number"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xC004E016, "the product key is invalid"),
        (0xC004F017, "the license is not installed"),
        (0x4004F040, "Product Use Rights"),
        (0x4004F00C, "valid grace period"),
        (0x80072EFD, "connection with the server"),
        (0x80072F8F, "certificate"),
        (0x80041010, "Invalid class"),
        (0x80041003, "Access denied"),
        (0xC0020017, "RPC server is unavailable"),
        (0x8007139F, "not in the correct state"),
        (0x80072338, "DNS signature failed"),
        (0xC004F211, "hardware of the device"),
        (0xC004F212, "OEM key"),
        (0xC004E028, "another activation attempt"),
        (0xC004C020, "Multiple Activation Key"),
        (0xC004C060, "has been blocked"),
        (0xC004F02E, "Confirmation ID"),
        (0xC004D302, "rearmed"),
        (0xC004FD01, "Hyper-V"),
        (0x803FA071, "unlock limit"),
        (0xC004FC03, "networking problem"),
        (0xD0000272, "not available now"),
        (0x80070020, "being used by another process"),
        (12029, "connection with the server"),
        (0x80080005, "Server execution failed"),
        (0x8007043C, "Safe Mode"),
        (1326, "user name or password"),
        (0x8004FE33, "proxy"),
    ],
)
def test_the_rest_of_microsofts_published_codes_is_known(code: int, words: str) -> None:
    explanation = explain(code)
    assert explanation is not None
    assert words in explanation.text
    assert explanation.cure


def test_the_usual_codes_have_the_names_of_the_sdks_table() -> None:
    table = slerror()
    assert len(table) > 400
    named = {status.name: table[status][0] for status in Status if int(status) in table}
    assert len(named) > 50
    assert all(ours == theirs for ours, theirs in named.items())


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        (0xC004F047, 0xC004F074),  # two digits change places
        (0xC004F07, 0xC004F074),  # one is lost
        (0xC004F034, 0xC004F074),  # one is another
        (0x1722, 1722),  # a decimal number with a prefix
    ],
)
def test_a_typing_error_suggests_the_usual_code_that_was_meant(slip: int, meant: int) -> None:
    assert meant in [explanation.code for explanation in near_codes(slip, most=20)]


def test_few_suggestions_are_shown_those_with_the_same_digits_first() -> None:
    assert near_codes(0xC004F047)[0].code == 0xC004F074
    assert len(near_codes(0xC004F047, most=1)) == 1
    assert near_codes(0x12345678) == []


def test_the_codes_in_a_line_are_found_each_once() -> None:
    line = "Error: 0xC004F074 NO_CODE (SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED), C004F074"
    assert codes_in(line) == [0xC004F074, 0xC004F041]


def test_a_negative_number_of_eight_signs_is_decimal() -> None:
    assert parse_code("-1234567") == 0x1_0000_0000 - 1_234_567


def test_every_cure_is_complete() -> None:
    assert [
        known.hexadecimal for known in known_codes() if not known.cure or known.cure != known.cure.strip(" .:;,")
    ] == []
    found = explain(0x8007232B)
    assert found is not None
    assert found.cure.endswith("slmgr /skms HOST")
