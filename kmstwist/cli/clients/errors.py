"""`kmstwist errors CODE`: what an activation, RPC or Win32 status code means and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kmstwist.cli.output import json_option, say_json

if TYPE_CHECKING:
    from kmstwist.kms.status import Explanation


# A negative number is a code, not an option.
@click.command(context_settings={"ignore_unknown_options": True})
@json_option
@click.argument("codes", metavar="[CODE]...", nargs=-1)
def errors(as_json: bool, codes: tuple[str, ...]) -> None:
    """Explain each activation error CODE, and what to do about it.

    Write a CODE as 0xC004F074, C004F074, 1722, -1073418124 or RPC_S_SERVER_UNAVAILABLE. A whole line from slmgr, ospp
    or an event works, too. Without a CODE, list all known codes.
    """
    from kmstwist.kms.status import codes_in, known_codes, parse_code

    if not codes:
        if as_json:
            say_json([_facts(known) for known in known_codes()])
            return
        for known in known_codes():
            click.echo(f"{known.hexadecimal}  {known.symbol or '-'}: {known.text}")
        return
    good = True
    known_facts: list[dict[str, object]] = []
    explained = known_facts if as_json else None
    pasted = _is_pasted(codes)
    for text in (" ".join(codes),) if pasted else codes:
        if pasted or " " in text.strip() or len(codes_in(text)) > 1:
            found = codes_in(text)
            if not found:
                click.echo(f'Error: there is no status code in "{text}"', err=True)
                good = False
            for code in found:
                good = _explain(code, explained) and good
            continue
        try:
            good = _explain(parse_code(text), explained) and good
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
            good = False
    if as_json:
        say_json(known_facts)
    if not good:
        raise click.exceptions.Exit(1)


#: The words before a code in lines of slmgr and ospp, in their languages.
_BEFORE_A_CODE = (
    "error",
    "code",
    "hresult",
    "hr",
    "fehler",
    "fehlercode",
    "erreur",
    "slui",
    "slui.exe",
    "slmgr",
    "ospp",
)
#: The events of the licensing services: their numbers are not codes, but their texts contain one.
_EVENTS = frozenset({900, 902, 903, 1003, 1014, 1058, 1066, 8198, 8200, 8208, 12288, 12289, 12290, 12293, 12310, 12321})


def _is_pasted(words: tuple[str, ...]) -> bool:
    """Whether the arguments are a line pasted without quotes: words around a code with its prefix."""
    return any("0x" in word.casefold() for word in words) and (
        words[0].casefold().rstrip(":") in _BEFORE_A_CODE or _plain_words(words) >= 3
    )


def _plain_words(words: tuple[str, ...]) -> int:
    return sum(word.strip(".,:;()").isalpha() for word in words)


def _facts(explanation: Explanation) -> dict[str, object]:
    return {
        "code": explanation.hexadecimal,
        "decimal": explanation.code,
        "signed": _signed(explanation.code),
        "symbol": explanation.symbol or None,
        "meaning": explanation.text,
        "cure": explanation.cure,
    }


def _explain(code: int, facts: list[dict[str, object]] | None) -> bool:
    """Print what is known about a code, or add it to the facts for JSON. Returns whether anything is known."""
    from kmstwist.kms.status import explain, near_codes

    explanation = explain(code)
    if explanation is None:
        click.echo(f"0x{code:08X} ({code}): no meaning is known here; {_elsewhere(code)}", err=True)
        for near in near_codes(code):
            click.echo(f"  is it {near.hexadecimal} {near.symbol or '-'}? {near.text}", err=True)
        return False
    if facts is not None:
        facts.append(_facts(explanation))
        return True
    symbol = f" {explanation.symbol}" if explanation.symbol else ""
    click.echo(f"{explanation.hexadecimal}{symbol} (decimal {code}, signed {_signed(code)})")
    _wrapped("meaning:", explanation.text)
    _wrapped("cure:", explanation.cure)
    return True


def _elsewhere(code: int) -> str:
    """Where to look for a code that is not known here."""
    if code in _EVENTS:
        return "it is the number of an event; give the code in the event's text"
    if code >> 16 == 0x8007 or code < 0x1_0000:
        return f"on Windows, `net helpmsg {code & 0xFFFF}` shows its text"
    return "look for it in Microsoft's [MS-ERREF]"


def _wrapped(label: str, text: str) -> None:
    """A text with a label, wrapped with an indent if the terminal is too narrow."""
    import sys
    from textwrap import wrap

    if not sys.stdout.isatty():
        click.echo(f"  {label:<8} {text}")
        return
    import shutil

    width = max(40, shutil.get_terminal_size().columns)
    for line in wrap(text, width, initial_indent=f"  {label:<8} ", subsequent_indent=" " * 11, break_on_hyphens=False):
        click.echo(line)


def _signed(code: int) -> int:
    return code - (1 << 32) if code >> 31 else code
