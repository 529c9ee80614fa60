"""`kmstwist errors CODE`: what an activation, RPC or Win32 status code means and what to do about it."""

from __future__ import annotations

import click


# A signed code is a code, not an option.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("codes", metavar="[CODE]...", nargs=-1)
def errors(codes: tuple[str, ...]) -> None:
    """Explain each CODE, given as 0xC004F074, C004F074, 1722, -1073418124 or RPC_S_SERVER_UNAVAILABLE.

    Without any, list those that are known.
    """
    from kmstwist.kms.status import Explanation, explain, known_codes, near_codes, parse_code

    if not codes:
        for known in known_codes():
            click.echo(f"{known.hexadecimal}  {known.symbol or '-'}: {known.text}")
        return
    found: list[Explanation | None] = []
    for text in codes:
        try:
            code = parse_code(text)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        explanation = explain(code)
        found.append(explanation)
        if explanation is None:
            click.echo(
                f"0x{code:08X} ({code}): no meaning is known here; look for it in Microsoft's [MS-ERREF]", err=True
            )
            for near in near_codes(code):
                click.echo(f"  is it {near.hexadecimal} {near.symbol or '-'}? {near.text}", err=True)
            continue
        symbol = f" {explanation.symbol}" if explanation.symbol else ""
        click.echo(f"{explanation.hexadecimal}{symbol} (decimal {code}, signed {_signed(code)})")
        click.echo(f"  meaning: {explanation.text}")
        click.echo(f"  cure:    {explanation.cure}")
    if None in found:
        raise click.exceptions.Exit(1)


def _signed(code: int) -> int:
    return code - (1 << 32) if code >> 31 else code
