"""Absurd TOML is reported in a sentence, and quickly."""

from __future__ import annotations

import tomllib

import pytest

from kmstwist.toml import read_toml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 100_000 + "]" * 100_000, "too deeply to be read"),
        ("a = " + "{b = " * 10_000 + "1" + "}" * 10_000, "too deeply to be read"),
        ("port = " + "9" * 5000, "too many digits"),
        ("port = 0x" + "f" * 50_000, "more than 64 bits"),
        ("a = [{b = -9_223_372_036_854_775_809}]", "more than 64 bits"),
        ("\n" + ".".join(["a"] * 50_000) + " = 1", r"a key of too many parts \(at line 2, column 1\)"),
        ("[" + ".".join(["a"] * 50_000) + "]", "a key of too many parts"),
        ("".join(f"k{number} = 1\n" for number in range(5001)), "more than 5000 keys"),
        ("day = 2026-02-30", "a number or a date that is none|Invalid date"),
    ],
    ids=["brackets", "braces", "digits", "hexadecimal", "bits", "dotted-key", "dotted-heading", "keys", "date"],
)
def test_absurd_toml_is_a_mistake(text: str, said: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match=said):
        read_toml(text)


def test_a_long_list_of_addresses_is_no_mistake() -> None:
    addresses = [f"10.{number >> 8}.{number & 255}.1" for number in range(5000)]
    line = "allow = [" + ", ".join(f'"{address}"' for address in addresses) + "]"
    several = "allow = [\n" + ", ".join(f'"{address}"' for address in addresses) + "\n]"
    assert read_toml(line) == read_toml(several) == {"allow": addresses}
