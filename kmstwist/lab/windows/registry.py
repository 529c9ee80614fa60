r"""The values of a lab machine's registry that set its licensing, as Puppet, group policies and scripts write them.

They are under `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform`: the machine's in the key
itself, an application's in a subkey named by its id, a product's in a subkey of that, named by its id. Values written
there apply to the machine at once; on Windows one restarts the licensing service for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kmstwist.lab.machines.machine import MACHINE, KmsSettings, Machine

KEY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform"
STRING, NUMBER = "REG_SZ", "REG_DWORD"
_ROOT = re.compile(
    r"^(?:(?:microsoft\.powershell\.core\\)?registry::)?(?:hklm:?|hkey_local_machine)[\\/]", re.IGNORECASE
)


class RegistryError(Exception):
    """A registry value does not exist, or is not of its kind; the text is that of `reg`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value: its key below `SoftwareProtectionPlatform` ("" for that itself), its name, kind and text."""

    below: str
    name: str
    kind: str
    text: str

    @property
    def key(self) -> str:
        """The whole key."""
        return f"{KEY}\\{self.below}" if self.below else KEY


def entries(machine: Machine) -> list[Entry]:
    """All values that a machine has, the machine's own first."""
    found = [Entry("", "KeyManagementServiceVersion", STRING, machine.windows.version)]
    if not machine.caching:
        found.append(Entry("", "DisableKeyManagementServiceHostCaching", NUMBER, "0x1"))
    for scope in sorted(machine.settings, key=lambda scope: (scope != MACHINE, scope)):
        below = _below(machine, scope)
        settings = machine.settings[scope]
        for name, (kind, read, _) in _VALUES.items():
            value = read(settings)
            if value is not None:
                found.append(Entry(below, name, kind, f"0x{int(value):x}" if kind == NUMBER else str(value)))
    return found


def write(machine: Machine, below: str, name: str, text: str) -> None:
    """Set a value. Raises `RegistryError` if licensing does not use it, or if its text is not of its kind."""
    if name.lower() == "disablekeymanagementservicehostcaching":
        machine.caching = not _number(text)
        if not machine.caching:
            machine.cached = None
        return
    known = next((key for key in _VALUES if key.lower() == name.lower()), None)
    if known is None:
        names = ", ".join([*_VALUES, "DisableKeyManagementServiceHostCaching"])
        raise RegistryError(f"the lab's machines have no value {name}; there are: {names}.")
    kind, _, assign = _VALUES[known]
    assign(_settings(machine, below), str(_number(text)) if kind == NUMBER else text)


def remove(machine: Machine, below: str, name: str) -> None:
    """Remove a value. Raises `RegistryError` if it does not exist."""
    if not any(entry.below == below and entry.name.lower() == name.lower() for entry in entries(machine)):
        raise RegistryError("The system was unable to find the specified registry key or value.")
    if name.lower() == "disablekeymanagementservicehostcaching":
        machine.caching = True
        return
    known = next((key for key in _VALUES if key.lower() == name.lower()), None)
    if known is None:
        raise RegistryError("Access is denied.")
    _VALUES[known][2](_settings(machine, below), None)


def below_of(key: str) -> str:
    r"""The part of a key below `SoftwareProtectionPlatform`; `RegistryError` for any other key."""
    path = _ROOT.sub("HKEY_LOCAL_MACHINE\\\\", key.strip().strip('"').rstrip("\\"))
    if path.lower() == KEY.lower():
        return ""
    if not path.lower().startswith(f"{KEY.lower()}\\"):
        raise RegistryError("The system was unable to find the specified registry key or value.")
    return path[len(KEY) + 1 :].lower()


def reg(machine: Machine, words: list[str]) -> list[str]:
    """Windows' `reg query`, `reg add` and `reg delete` on these keys; the lines, or `RegistryError`."""
    if len(words) < 2 or words[0].lower() not in ("query", "add", "delete"):
        raise RegistryError('Invalid syntax.\nType "REG /?" for usage.')
    verb, key, options = words[0].lower(), words[1], _options(words[2:])
    below, name = below_of(key), options.get("/v")
    if verb == "add":
        if name is None:
            return [_DONE]
        write(machine, below, name, options.get("/d") or "")
        return [_DONE]
    if verb == "delete":
        for one in [name] if name is not None else [each.name for each in entries(machine) if each.below == below]:
            if one != "KeyManagementServiceVersion":
                remove(machine, below, one)
        return [_DONE]
    found = [
        entry
        for entry in entries(machine)
        if (entry.below == below or ("/s" in options and entry.below.startswith(below)))
        and (name is None or entry.name.lower() == name.lower())
    ]
    if not found:
        raise RegistryError("The system was unable to find the specified registry key or value.")
    lines: list[str] = []
    for group in dict.fromkeys(entry.key for entry in found):
        lines += ["", group, *(f"    {one.name}    {one.kind}    {one.text}" for one in found if one.key == group)]
    return [*lines, ""]


_DONE = "The operation completed successfully."


def _options(words: list[str]) -> dict[str, str | None]:
    given: dict[str, str | None] = {}
    at = 0
    while at < len(words):
        option = words[at].lower()
        takes = option in ("/v", "/t", "/d") and at + 1 < len(words)
        given[option] = words[at + 1] if takes else None
        at += 2 if takes else 1
    return given


def _below(machine: Machine, scope: str) -> str:
    """The key of a scope of settings."""
    if scope == MACHINE:
        return ""
    licence = next((one for one in machine.licences if str(one.act_id) == scope), None)
    return f"{licence.product.app_id}\\{scope}" if licence is not None else scope


def _settings(machine: Machine, below: str) -> KmsSettings:
    return machine.scope(below.rpartition("\\")[2] or MACHINE)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise RegistryError(f"'{text}' is not a number.") from None


def _set_host(settings: KmsSettings, text: str | None) -> None:
    settings.host = text or None


def _set_port(settings: KmsSettings, text: str | None) -> None:
    port = _number(text) if text else None
    if port is not None and not 1 <= port <= 65535:
        raise RegistryError(f"'{text}' is not a TCP port.")
    settings.port = port


def _set_domain(settings: KmsSettings, text: str | None) -> None:
    settings.lookup_domain = text or None


def _set_type(settings: KmsSettings, text: str | None) -> None:
    kind = _number(text) if text else 0
    if not 0 <= kind <= 3:
        raise RegistryError(f"'{text}' is not an activation type: 0 any, 1 Active Directory, 2 KMS, 3 token.")
    settings.act_type = kind or None


_Assign = Callable[[KmsSettings, str | None], None]
_VALUES: dict[str, tuple[str, Callable[[KmsSettings], str | int | None], _Assign]] = {
    "KeyManagementServiceName": (STRING, lambda settings: settings.host, _set_host),
    "KeyManagementServicePort": (STRING, lambda settings: settings.port, _set_port),
    "KeyManagementServiceLookupDomain": (STRING, lambda settings: settings.lookup_domain, _set_domain),
    "VLActivationType": (NUMBER, lambda settings: settings.act_type, _set_type),
}
