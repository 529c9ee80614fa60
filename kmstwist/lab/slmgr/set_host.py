"""slmgr's options that set how a lab machine finds its KMS host: /skms and those like it."""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.addresses import AddressError, parse_host_port
from kmstwist.kms.status import Status
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.machine import MACHINE, KmsSettings
from kmstwist.lab.machines.session import Output, Session, find_act_id, known_act_ids, lookup_domain
from kmstwist.lab.slmgr.show import OVERRIDES
from kmstwist.lab.slmgr.texts import TYPE_MISMATCH


def _skms(session: Session, arguments: list[str], output: Output) -> None:
    settings = _scope(session, arguments, output)
    if settings is None:
        return
    text = arguments[0]
    name, port_text = _split(text)
    port = _port(port_text) if port_text else None
    if name:
        try:
            settings.host = parse_host_port(name).host
        except AddressError as error:
            # Windows accepts any text here, and fails when it asks the host.
            settings.host = name
            output.notes.append(f"{error}.")
    settings.port = port
    output.lines.append(f"Key Management Service machine name set to {text} successfully.")
    if _domain(session, settings) is not None:
        output.lines.append(OVERRIDES.format(text))


def _split(text: str) -> tuple[str, str]:
    """Name and port as slmgr separates them: after the bracket, else at the first colon."""
    end = text.find("]")
    if text.startswith("[") and end > 0:
        return text[: end + 1], text[end + 2 :]
    name, _, port = text.partition(":")
    return name, port


def _port(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        hint = "an IPv6 address is written in brackets: [2001:db8::1]:1688" if ":" in text else "a port is a number"
        raise Published(TYPE_MISMATCH, f"'{text}' is not a port; {hint}.") from None
    if not 1 <= number <= 65535:
        raise Published(Status.E_INVALIDARG, f"'{text}' is not a port: it is a number from 1 to 65535.")
    return number


def _ckms(session: Session, arguments: list[str], output: Output) -> None:
    settings = _scope(session, ["", *arguments], output)
    if settings is None:
        return
    settings.host = settings.port = None
    output.lines.append("Key Management Service machine name cleared successfully.")
    domain = _domain(session, settings)
    if domain is not None:
        output.lines.append(
            f"Warning: /skms-domain setting is in effect. {domain} will be used for DNS SRV record lookup."
        )


def _skms_domain(session: Session, arguments: list[str], output: Output) -> None:
    settings = _scope(session, arguments, output)
    if settings is None:
        return
    settings.lookup_domain, notes = lookup_domain(arguments[0])
    output.notes += notes
    output.lines.append(f"Key Management Service lookup domain set to {arguments[0]} successfully.")
    host = _host(session, settings)
    if host is not None:
        output.lines.append(OVERRIDES.format(host))


def _ckms_domain(session: Session, arguments: list[str], output: Output) -> None:
    settings = _scope(session, ["", *arguments], output)
    if settings is None:
        return
    settings.lookup_domain = None
    output.lines.append("Key Management Service lookup domain cleared successfully.")
    host = _host(session, settings)
    if host is not None:
        output.lines.append(f"Warning: /skms setting is in effect. {host} will be used for activation.")


def _skhc(session: Session, arguments: list[str], output: Output) -> None:
    session.machine.caching = True
    output.lines.append("KMS host caching is enabled")


def _ckhc(session: Session, arguments: list[str], output: Output) -> None:
    session.machine.caching = False
    session.machine.cached = None
    output.lines.append("KMS host caching is disabled")


def _act_type(session: Session, arguments: list[str], output: Output) -> None:
    kind = arguments[0] if arguments else "0"
    if kind not in ("0", "1", "2", "3"):
        output.lines.append("Error: The data is invalid")
        output.notes.append(f"'{kind}' is not an activation type: 0 any, 1 Active Directory, 2 KMS, 3 token.")
        return
    settings = _scope(session, [kind, *arguments[1:]], output)
    if settings is None:
        return
    settings.act_type = int(kind) or None
    output.lines.append("Volume activation type set successfully.")


def _scope(session: Session, arguments: list[str], output: Output) -> KmsSettings | None:
    """The settings that a command changes: those of the activation id in its second argument, else the machine's.

    None if the machine has no such id; the output then says so in slmgr's words.
    """
    if len(arguments) < 2:
        return session.machine.scope(MACHINE)
    licence = find_act_id(session.machine, arguments[1])
    if licence is None:
        output.lines.append(f"Error: Activation ID ({arguments[1].lower()}) not found.")
        output.notes.append(known_act_ids(session.machine))
        return None
    return session.machine.scope(str(licence.act_id))


def _domain(session: Session, settings: KmsSettings) -> str | None:
    return settings.lookup_domain or session.machine.scope(MACHINE).lookup_domain


def _host(session: Session, settings: KmsSettings) -> str | None:
    """The host that these settings name, as slmgr writes it in its warning: with port 0 if no port is set."""
    set_in = settings if settings.host is not None else session.machine.scope(MACHINE)
    if set_in.host is None:
        return None
    host = f"[{set_in.host}]" if ":" in set_in.host else set_in.host
    return f"{host}:{set_in.port or 0}"


COMMANDS: dict[str, Callable[[Session, list[str], Output], None]] = {
    "skms": _skms,
    "skms-domain": _skms_domain,
    "ckms": _ckms,
    "ckms-domain": _ckms_domain,
    "skhc": _skhc,
    "ckhc": _ckhc,
    "act-type": _act_type,
}
