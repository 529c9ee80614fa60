"""The exact commands that make a machine a KMS client, for cmd, PowerShell and Ansible.

Windows is set up with `slmgr.vbs`, Office with `ospp.vbs`, both run by `cscript` from an elevated prompt. The order
matters: the client setup key first (it makes the product a KMS client), then the host or the way to find it, then the
activation, then the result. Options are Microsoft's ("Slmgr.vbs options for obtaining volume activation
information", "Tools to manage volume activation of Office").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kmstwist.addresses import DEFAULT_PORT, HostPort

SLMGR = "slmgr"
OSPP = "ospp"

# Office 2016 and every later version live in the folder of version 16.
_OFFICE_FOLDERS = {"2010": "Office14", "2013": "Office15"}
_OFFICE_LATER = "Office16"
_BY_DNS = "forget a KMS host set earlier, so that DNS is asked"
_ONE_DOMAIN = "look for KMS hosts in this domain only"
_OWN_DOMAINS = "forget a lookup domain set earlier, so that the client's own domains are looked in"


# Conditions in PowerShell: that nothing is left to do.
_HAS_KEY = "$product"
_LICENSED = "$product.LicenseStatus -eq 1"
#: What an Ansible task prints if it changed something; no Microsoft script prints it in any language.
_CHANGED = "kmstwist: changed"


class SetupImpossible(ValueError):
    """No commands can do what was asked; the text is a sentence with the cure."""


class KmsProduct(Protocol):
    """The properties needed of a product of the catalogue."""

    @property
    def name(self) -> str:
        """Its name, as Microsoft lists it."""

    @property
    def family(self) -> str:
        """`Windows`, `Windows Server` or `Office`."""

    @property
    def threshold(self) -> int:
        """The count its KMS host must report."""

    @property
    def gvlk(self) -> str:
        """Its published client setup key."""


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a script: its arguments, and its purpose in a few words.

    `done` is a condition in PowerShell that is true if there is nothing left to do. In it, `$product` is the CIM
    instance that has the key, or null, and `$service` is the instance of the licensing service.
    """

    script: str
    arguments: tuple[str, ...]
    purpose: str
    done: str = ""

    @property
    def asks_only(self) -> bool:
        """Whether it changes nothing."""
        return not self.done


@dataclass(frozen=True, slots=True)
class Setup:
    """All commands for one product, in order; `folder` is Office's folder, None for Windows."""

    product: KmsProduct
    where: str
    commands: tuple[Command, ...]
    folder: str | None

    @property
    def title(self) -> str:
        """What it does, in a line."""
        return f"Activate {self.product.name} by KMS {self.where}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What one must know before running the commands."""
        return (
            "Run as administrator.",
            f"The product activates when the KMS host counts {self.product.threshold} machines or more.",
        )


def set_up(product: KmsProduct, host: HostPort | None = None, domain: str | None = None) -> Setup:
    """The commands for a product: at `host`; or, without one, found by DNS (in `domain` only, if one is given).

    Raises `SetupImpossible` for an IPv6 address as the host of an Office product: ospp takes a name.
    """
    if host is not None and domain is not None:
        raise SetupImpossible("A client has either a host set by hand or a domain to look in: give one of the two.")
    where = f"at {host}" if host else f"with discovery in {domain}" if domain else "with discovery by DNS"
    if product.family == "Office":
        return Setup(product, where, _office(product, host, domain), office_folder(product.name))
    return Setup(product, where, _windows(product, host, domain), None)


def office_folder(product_name: str) -> str:
    """The folder below `Microsoft Office` that holds `ospp.vbs` for a product of this name."""
    years = re.findall(r"\b20\d\d\b", product_name)
    return _OFFICE_FOLDERS.get(years[-1], _OFFICE_LATER) if years else _OFFICE_LATER


def _windows(product: KmsProduct, host: HostPort | None, domain: str | None) -> tuple[Command, ...]:
    key = Command(SLMGR, ("/ipk", product.gvlk), "install the client setup key", done=_HAS_KEY)
    if host is not None:
        finding = [Command(SLMGR, ("/skms", str(host)), "set the KMS host", done=_set_to("$service", host))]
    else:
        # /skms-domain has no effect while a host is set, so that is cleared first.
        finding = [Command(SLMGR, ("/ckms",), _BY_DNS, done=_no_host("$service"))]
        if domain is not None:
            finding.append(Command(SLMGR, ("/skms-domain", domain), _ONE_DOMAIN, done=_looks_in("$service", domain)))
        else:
            # Otherwise a domain set earlier stays in force, and the client does not look in its own domains.
            finding.append(Command(SLMGR, ("/ckms-domain",), _OWN_DOMAINS, done=_looks_in("$service", "")))
    return (
        key,
        *finding,
        Command(SLMGR, ("/ato",), "activate now", done=_LICENSED),
        Command(SLMGR, ("/dlv",), "show the licence and the KMS host used"),
    )


def _set_to(instance: str, host: HostPort) -> str:
    """The condition that this host is set by hand. Without a port, the standard one applies."""
    port = f"{instance}.KeyManagementServicePort"
    is_port = (
        f"({port} -eq {host.port})" if host.port != DEFAULT_PORT else f"((-not {port}) -or ({port} -eq {DEFAULT_PORT}))"
    )
    return f"({instance}.KeyManagementServiceMachine -eq '{host.host}') -and ({is_port})"


def _no_host(instance: str) -> str:
    return f"-not {instance}.KeyManagementServiceMachine"


def _looks_in(instance: str, domain: str) -> str:
    """The condition that this is the domain to look in; with "", that none is set."""
    is_set = f"{instance}.KeyManagementServiceLookupDomain"
    return f"{is_set} -eq '{domain}'" if domain else f"-not {is_set}"


def _office(product: KmsProduct, host: HostPort | None, domain: str | None) -> tuple[Command, ...]:
    key = Command(OSPP, (f"/inpkey:{product.gvlk}",), "install the client setup key", done=_HAS_KEY)
    if host is not None:
        if ":" in host.host:
            raise SetupImpossible(
                f"Office's ospp.vbs takes the host as a name, not as the IPv6 address {host.host}: give the name whose "
                "AAAA record it is."
            )
        finding = [
            Command(OSPP, (f"/sethst:{host.host}",), "set the KMS host", done=_set_to("$product", host)),
            Command(OSPP, (f"/setprt:{host.port}",), "set its port", done=_set_to("$product", host)),
        ]
    else:
        finding = [Command(OSPP, ("/remhst",), _BY_DNS, done=_no_host("$product"))]
        if domain is not None:
            finding.append(Command(OSPP, (f"/skms-domain:{domain}",), _ONE_DOMAIN, done=_looks_in("$product", domain)))
        else:
            finding.append(Command(OSPP, ("/ckms-domain",), _OWN_DOMAINS, done=_looks_in("$product", "")))
    return (
        key,
        *finding,
        Command(OSPP, ("/act",), "activate now", done=_LICENSED),
        Command(OSPP, ("/dstatus",), "show the licences"),
    )


def as_cmd(setup: Setup) -> str:
    """For cmd.exe: to paste, or to save as a .cmd file."""
    lines = [f"rem {text}" for text in (setup.title + ".", *setup.notes)]
    if setup.folder is not None:
        path = rf"Microsoft Office\{setup.folder}\ospp.vbs"
        lines += [
            rf'set "OSPP=%ProgramFiles%\{path}"',
            rf'if not exist "%OSPP%" set "OSPP=%ProgramFiles(x86)%\{path}"',
        ]
    script = {SLMGR: r'"%windir%\system32\slmgr.vbs"', OSPP: '"%OSPP%"'}
    for command in setup.commands:
        lines += [f"rem {command.purpose}", _line("cscript //nologo", script, command, _quoted_for_cmd)]
    return "\n".join(lines)


def as_powershell(setup: Setup) -> str:
    """For Windows PowerShell and PowerShell 7."""
    lines = [f"# {text}" for text in (setup.title + ".", *setup.notes)]
    lines += _powershell_locations(setup)
    for command in setup.commands:
        lines += [f"# {command.purpose}", _powershell_line(command)]
    return "\n".join(lines)


def as_ansible(setup: Setup) -> str:
    """A list of Ansible tasks (collection `ansible.windows`), one a command, each failing by itself.

    A task first checks whether there is anything left to do, and reports "changed" only if it changed something.
    """
    lines = [f"# {text}" for text in (setup.title + ".", *setup.notes)]
    for command in setup.commands:
        purpose = command.purpose[0].upper() + command.purpose[1:]
        # A JSON string is a YAML string; block scalars keep backslashes and colons as they are.
        lines += [
            f"- name: {json.dumps(f'{purpose} ({setup.product.name})')}",
            "  ansible.windows.win_shell: |",
            *(f"    {line}" for line in _ansible_script(setup, command)),
        ]
        if command.asks_only:
            lines.append("  changed_when: false")
            continue
        lines += ["  register: kms_client", f"  changed_when: \"'{_CHANGED}' in kms_client.stdout\""]
        if command.script == OSPP:
            # Unlike slmgr, ospp always ends with status 0, and prints what went wrong.
            lines.append("  failed_when: kms_client.rc != 0 or 'ERROR CODE' in kms_client.stdout")
    return "\n".join(lines)


def _ansible_script(setup: Setup, command: Command) -> list[str]:
    if command.asks_only:
        return [*_powershell_locations(setup), _powershell_line(command)]
    lines = []
    if "$product" in command.done:
        having = f"PartialProductKey='{setup.product.gvlk[-5:]}'"
        lines.append(f'$product = Get-CimInstance SoftwareLicensingProduct -Filter "{having}" | Select-Object -First 1')
    if "$service" in command.done:
        lines.append("$service = Get-CimInstance SoftwareLicensingService")
    return [
        *lines,
        f"if ({command.done}) {{ exit 0 }}",
        *_powershell_locations(setup),
        _powershell_line(command),
        "if ($LASTEXITCODE) { exit $LASTEXITCODE }",
        f"'{_CHANGED}'",
    ]


FORMS: dict[str, Callable[[Setup], str]] = {"cmd": as_cmd, "powershell": as_powershell, "ansible": as_ansible}
"""Every form by its name on the command line."""


def _powershell_locations(setup: Setup) -> list[str]:
    if setup.folder is None:
        return []
    return [
        "$ospp = $env:ProgramFiles, ${env:ProgramFiles(x86)} | Where-Object { $_ } | "
        rf"ForEach-Object {{ Join-Path $_ 'Microsoft Office\{setup.folder}\ospp.vbs' }} | "
        "Where-Object { Test-Path $_ } | Select-Object -First 1",
        f"if (-not $ospp) {{ throw 'ospp.vbs is not in {setup.folder}: is this version of Office installed?' }}",
    ]


def _powershell_line(command: Command) -> str:
    script = {SLMGR: r'"$env:windir\System32\slmgr.vbs"', OSPP: "$ospp"}
    return _line("cscript.exe //nologo", script, command, _quoted_for_powershell)


def _line(call: str, script: dict[str, str], command: Command, quoted: Callable[[str], str]) -> str:
    return " ".join((call, script[command.script], *(quoted(argument) for argument in command.arguments)))


def _quoted_for_cmd(argument: str) -> str:
    return argument if re.fullmatch(r"[\w./:\[\]-]+", argument) else f'"{argument}"'


def _quoted_for_powershell(argument: str) -> str:
    return argument if re.fullmatch(r"[\w./:-]+", argument) else "'" + argument.replace("'", "''") + "'"
