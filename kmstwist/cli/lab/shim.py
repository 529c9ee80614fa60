"""`kmstwist lab shim`: programs with Windows' names that act on a lab machine, for trying out scripts and playbooks.

The folder holds `cscript`, `slmgr`, `powershell` and the like, each a few lines of shell that call this program again
(`lab shimmed`). Put it before the PATH, and a script that calls them acts on the lab machine.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click

from kmstwist.cli.common import AnyPath
from kmstwist.cli.lab import tools
from kmstwist.cli.lab.common import (
    held_machines,
    lab_key_option,
    load_key,
    machine_store,
    state_dir_option,
    state_folder,
    timeout_option,
)
from kmstwist.lab.host_settings import HOST
from kmstwist.lab.machines.session import Output
from kmstwist.lab.windows.cim import Instance, instances
from kmstwist.lab.windows.powershell import Interpreter
from kmstwist.lab.windows.registry import NUMBER, RegistryError, below_of, entries, reg, remove, write
from kmstwist.lab.windows.shell import PowerShellError
from kmstwist.system.rights import rights_for_named
from kmstwist.system.wholefile import write_whole

PROGRAMS = (
    "cscript",
    "cscript.exe",
    "slmgr",
    "slmgr.vbs",
    "ospp.vbs",
    "powershell",
    "powershell.exe",
    "pwsh",
    "pwsh.exe",
    "reg",
    "reg.exe",
)
_MARK = "# Written by: kmstwist lab shim"
_BANNER = (
    "Microsoft (R) Windows Script Host Version 5.812",
    "Copyright (C) Microsoft Corporation. All rights reserved.",
    "",
)
_SCRIPT = re.compile(r"(slmgr|ospp)\.vbs$", re.IGNORECASE)
_WITH_VALUE = ("executionpolicy", "ep", "windowstyle", "inputformat", "outputformat", "version")
_RAW = {"ignore_unknown_options": True, "help_option_names": []}


@click.command()
@click.argument("folder", type=AnyPath(file_okay=False))
@click.option("--machine", required=True, help="The lab machine that the programs act on.")
@click.option("--quiet", is_flag=True, help="Do not let them print the lab's own notes on standard error.")
@timeout_option
@state_dir_option
@lab_key_option
def shim(folder: Path, machine: str, quiet: bool, timeout: float, state_dir: Path | None, lab_key: Path | None) -> None:
    """Write a FOLDER of programs that act on a lab machine.

    They have the names of Windows' own programs: cscript (with slmgr.vbs and ospp.vbs in any path), slmgr, powershell
    and pwsh (a subset: Get-CimInstance and Get-WmiObject of the licensing service's classes, pipelines and the usual
    commands), and reg. They print with Windows' line ends. Put the folder first on a script's PATH.
    """
    where = state_folder(state_dir)
    with machine_store(where) as store:
        if machine.lower() != HOST:
            machine = store.get(machine).name
    options = ["--machine", machine, "--timeout", f"{timeout:g}", "--state-dir", str(where.absolute())]
    if lab_key is not None:
        options += ["--lab-key", str(lab_key.absolute())]
    if quiet:
        options.append("--quiet")
    call = [sys.executable, "-c", "from kmstwist.cli.main import main; main()", "lab", "shimmed", *options]
    try:
        with rights_for_named(folder / PROGRAMS[0]):
            folder.mkdir(parents=True, exist_ok=True)
            for name in PROGRAMS:
                _write(folder / name, f'#!/bin/sh\n{_MARK}\nexec {shlex.join([*call, "--", name])} "$@"\n')
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    click.echo(f"{machine} answers to {', '.join(PROGRAMS[::2][:4])} and others in {folder}.")
    click.echo(f"Try it: PATH={shlex.quote(str(folder.absolute()))}:$PATH cscript //nologo slmgr.vbs /dli")


def _write(path: Path, text: str) -> None:
    """Write a program; raises `ClickException` if another file has its name. Links are not followed."""
    if os.path.lexists(path):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) or _MARK not in path.read_text(errors="replace"):
            raise click.ClickException(f"{path} already exists and does not belong to the shim: choose another folder")
    write_whole(path, text, 0o755)


@click.command(hidden=True, context_settings=_RAW)
@click.option("--machine", required=True)
@click.option("--quiet", is_flag=True)
@timeout_option
@state_dir_option
@lab_key_option
@click.argument("program")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def shimmed(
    ctx: click.Context,
    machine: str,
    quiet: bool,
    timeout: float,
    state_dir: Path | None,
    lab_key: Path | None,
    program: str,
    words: tuple[str, ...],
) -> None:
    """Run one of the shim's programs; the programs that `lab shim` wrote call it."""
    name = program.lower().removesuffix(".exe")
    is_shell = name in ("powershell", "pwsh")
    desk = Desk(tools.Bench(state_dir, lab_key, timeout), machine, quiet=quiet, several=is_shell)
    if is_shell:
        lines, code = _powershell(desk, words, modern=name == "pwsh")
    else:
        ended = desk.program(name, words)
        assert ended is not None, program
        lines, code = ended
    # A shell cannot carry an HRESULT.
    _print(lines)
    ctx.exit(code if 0 <= code <= 255 else 1)


def _print(lines: Sequence[str]) -> None:
    if lines:
        click.echo("".join(f"{line}\r\n" for line in lines).encode(), nl=False)


class Desk:
    """The part of Windows that scripts query: its scripts, its WMI and its registry, for one lab machine.

    `several` says that more than one program may be run: each then gets its own process, since a reactor runs once.
    """

    def __init__(self, bench: tools.Bench, machine: str, *, quiet: bool, several: bool) -> None:
        self._bench = bench
        self._machine = machine
        self._quiet = quiet
        self._several = several

    def program(self, name: str, arguments: Sequence[str]) -> tuple[list[str], int] | None:
        """Run a program. Returns its lines and exit status; None if there is no such program."""
        base = re.split(r"[\\/]", name)[-1].lower().removesuffix(".exe")
        if base in ("cscript", "wscript"):
            return self._cscript(arguments)
        if base in ("slmgr", "slmgr.vbs") or _SCRIPT.search(name):
            return self._script("ospp" if base.startswith("ospp") else "slmgr", arguments)
        if base == "reg":
            return self._reg(arguments)
        return ([self.name], 0) if base == "hostname" else None

    @property
    def name(self) -> str:
        """The machine's name in Windows' spelling."""
        return self._machine.upper()

    def _cscript(self, arguments: Sequence[str]) -> tuple[list[str], int]:
        words = list(arguments)
        options = [word.lower() for word in words if word.startswith("//")]
        words = [word for word in words if not word.startswith("//")]
        if not words:
            return [*_BANNER, "Usage: CScript scriptname.extension [option...] [arguments...]"], 1
        found = _SCRIPT.search(words[0])
        if found is None:
            return [*_BANNER, f'Input Error: Can not find script file "{words[0]}".'], 1
        lines, code = self._script(found[1].lower(), words[1:])
        if "//b" in options:
            return [], code
        return (lines if "//nologo" in options else [*_BANNER, *lines]), code

    def _script(self, script: str, words: Sequence[str]) -> tuple[list[str], int]:
        output = self._apart(script, words)
        self._note(output)
        lines = output.lines if script == "ospp" else [*output.lines, ""]
        return lines, output.code if output.code in (0, 1) else output.code - (1 << 32) * (output.code > 0x7FFF_FFFF)

    def _apart(self, script: str, words: Sequence[str]) -> Output:
        run: Callable[[tools.Bench, str, Sequence[str]], Output] = tools.ospp if script == "ospp" else tools.slmgr
        if not self._several:
            return run(self._bench, self._machine, words)
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            return pool.submit(run, self._bench, self._machine, words).result()

    def _note(self, output: Output) -> None:
        if not self._quiet:
            for note in output.notes:
                click.echo(note, err=True)

    def _reg(self, arguments: Sequence[str]) -> tuple[list[str], int]:
        with held_machines(self._bench.folder, self._machine) as store:
            found = store.get(self._machine)
            try:
                lines = reg(found, list(arguments))
            except RegistryError as error:
                return [f"ERROR: {error}"], 1
            store.save(found)
        return lines, 0

    def registry(self, key: str) -> dict[str, str | int]:
        """The values in a key of the registry."""
        with machine_store(self._bench.folder) as store:
            found = store.get(self._machine)
            try:
                below = below_of(key)
            except RegistryError as error:
                raise PowerShellError(f"Cannot find path '{key}': {error}") from None
            return {
                entry.name: int(entry.text, 16) if entry.kind == NUMBER else entry.text
                for entry in entries(found)
                if entry.below == below
            }

    def set_registry(self, key: str, name: str, value: str | None) -> None:
        """Set a value in a key of the registry, or delete it."""
        with held_machines(self._bench.folder, self._machine) as store:
            found = store.get(self._machine)
            try:
                if value is None:
                    remove(found, below_of(key), name)
                else:
                    write(found, below_of(key), name, value)
            except RegistryError as error:
                raise PowerShellError(str(error)) from None
            store.save(found)

    def instances(self, class_name: str) -> list[Instance]:
        """The machine's instances of a class."""
        key = load_key(self._bench.lab_key, self._bench.folder)
        with machine_store(self._bench.folder) as store:
            found = [
                one
                for one in instances(store.get(self._machine), key, time.time())
                if one.class_name.lower() == class_name.lower()
            ]
        if not found and class_name.lower() not in ("softwarelicensingproduct",):
            raise PowerShellError(f"Invalid class: the lab has no {class_name}")
        return found

    def invoke(self, instance: Instance, method: str, arguments: Sequence[str]) -> None:
        """Call a method of the licensing service's classes."""
        words = self._words(instance, method.lower(), arguments)
        if not words:
            return
        output = self._apart("slmgr", words)
        self._note(output)
        if output.code:
            raise PowerShellError(f'Exception calling "{method}": {output.lines[-1]}')

    def _words(self, instance: Instance, method: str, arguments: Sequence[str]) -> list[str]:
        """A method as slmgr's option for it; nothing for one that changes nothing in the lab."""
        option = _METHODS.get(method)
        if option is None:
            raise PowerShellError(f"the lab has no method {method} of {instance.class_name}")
        act_id = [str(instance.licence.act_id)] if instance.licence is not None else []
        if not option:
            return []
        if option == "/ato" and not act_id:
            raise PowerShellError("Activate() is a method of SoftwareLicensingProduct")
        if option == "port":
            host = str(instance.get("KeyManagementServiceMachine") or "")
            return ["/skms", f"{host}:{arguments[0]}", *act_id]
        if option == "caching":
            return ["/ckhc" if arguments[:1] in (["True"], ["1"]) else "/skhc"]
        port = instance.get("KeyManagementServicePort")
        if option == "/skms" and port:
            return ["/skms", f"{arguments[0]}:{port}", *act_id]
        given = list(arguments[-1:]) if option in ("/ipk", "/skms", "/skms-domain", "/act-type", "/atp") else []
        return [option, *given, *(act_id if option not in ("/ipk", "/rearm") else [])]


#: Methods of the licensing service's classes as slmgr's options.
_METHODS = {
    "activate": "/ato",
    "installproductkey": "/ipk",
    "uninstallproductkey": "/upk",
    "refreshlicensestatus": "",
    "clearproductkeyfromregistry": "/cpky",
    "rearmwindows": "/rearm",
    "setkeymanagementservicemachine": "/skms",
    "setkeymanagementserviceport": "port",
    "clearkeymanagementservicemachine": "/ckms",
    "clearkeymanagementserviceport": "",
    "setkeymanagementservicelookupdomain": "/skms-domain",
    "clearkeymanagementservicelookupdomain": "/ckms-domain",
    "disablekeymanagementservicehostcaching": "caching",
    "setvlactivationtypeenabled": "/act-type",
    "depositofflineconfirmationid": "/atp",
}


def _powershell(desk: Desk, words: Sequence[str], *, modern: bool) -> tuple[list[str], int]:
    try:
        text = _script_text(list(words))
        return Interpreter(desk, modern=modern, variables={"env:computername": desk.name}).run(text)
    except PowerShellError as error:
        click.echo(str(error), err=True)
        return [], 1


def _script_text(words: list[str]) -> str:
    """The script in a command line of PowerShell's."""
    while words and re.match(r"[-/]", words[0]):
        option = words.pop(0).lstrip("-/").lower()
        if option and "command".startswith(option):
            return sys.stdin.read() if words == ["-"] else " ".join(words)
        if option and ("encodedcommand".startswith(option) or option == "ec"):
            try:
                return base64.b64decode(words[0], validate=True).decode("utf-16-le")
            except (ValueError, IndexError) as error:
                raise PowerShellError(f"-EncodedCommand is not text in UTF-16 and base64: {error}") from None
        if option and "file".startswith(option):
            try:
                return Path(words[0]).read_text(encoding="utf-8-sig")
            except (OSError, IndexError, UnicodeDecodeError) as error:
                raise PowerShellError(f"-File cannot be read: {error}") from None
        if any(name.startswith(option) for name in _WITH_VALUE):
            words = words[1:]
    if words and words[0].lower().endswith(".ps1"):
        return _script_text(["-file", words[0]])
    return " ".join(words) if words else sys.stdin.read()
