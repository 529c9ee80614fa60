"""The manual pages, made from the program itself: `make man` writes them, a test fails where they are stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from kmstwist import __version__
from kmstwist.cli.main import kmstwist
from kmstwist.cli.reference import contexts
from kmstwist.configuration.options import OPTIONS
from kmstwist.process.options import Options

_FILES = (
    ("/etc/kmstwist/kmstwist.toml", "The configuration; every option with its default."),
    ("/etc/default/kmstwist", "How the service is started."),
    ("/var/lib/kmstwist", "The state: the lab's key and memory, the audit, the control socket."),
    ("/var/log/kmstwist/kmstwist.log", "The log, if the init script starts the server; otherwise the journal has it."),
    ("/var/log/kmstwist.log", "The log, if rsyslog writes it."),
)


def _escaped(text: str) -> str:
    # A long list of choices may be broken between them; a line without a space cannot be filled.
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("|", " | ")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _plain(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _head(name: str, section: int, what: str) -> list[str]:
    return [
        f'.TH {name.upper()} {section} "" "kmstwist {__version__}" "kmstwist"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(what)}",
    ]


def _entry(term: str, text: str) -> list[str]:
    return [".TP", f".B {_escaped(term)}", _escaped(text)]


def _paragraphs(text: str | None) -> list[str]:
    paragraphs = [_plain(paragraph.replace("\b", "")) for paragraph in (text or "").split("\n\n")]
    return "\n.PP\n".join(_escaped(paragraph) for paragraph in paragraphs if paragraph).split("\n")


def _files() -> list[str]:
    lines = [".SH FILES"]
    for path, text in _FILES:
        lines += [".TP", f".I {_escaped(path)}", _escaped(text)]
    return lines


def command_page() -> str:
    """kmstwist(1): every verb with its options."""
    lines = _head("kmstwist", 1, "ask, rehearse and explain KMS volume activation")
    lines += [".SH SYNOPSIS", ".B kmstwist", "COMMAND [OPTIONS] [ARGUMENTS]", ".SH DESCRIPTION"]
    lines += _paragraphs(kmstwist.help)
    lines.append(".SH COMMANDS")
    for context in contexts():
        command = context.command
        if command is kmstwist:
            continue
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f".SS {_escaped(context.command_path)} {_escaped(usage)}"]
        lines += _paragraphs(command.help)
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in parameter.opts:
                lines += _entry(record[0], _plain(record[1]))
    lines += [".SH EXIT STATUS", "0 if all went well, 1 if something failed, 2 for a wrong command line. The commands"]
    lines += [_escaped("probe and doctor exit as monitoring plugins do: 0 well, 1 odd, 2 wrong."), *_files()]
    lines += [".SH SEE ALSO", ".BR kmstwist\\-twistd (8),", ".BR twistd (1)"]
    return "\n".join(lines) + "\n"


def server_page() -> str:
    """kmstwist-twistd(8): the options of `twistd kms`."""
    lines = _head("kmstwist-twistd", 8, "the KMS gateway and rehearsal lab, run by twistd")
    lines += [".SH SYNOPSIS", ".B twistd", "[TWISTD OPTIONS]", ".B kms", "[OPTIONS]", ".SH DESCRIPTION"]
    lines += [_escaped(Options.longdesc), ".SH OPTIONS"]
    lines += _entry("-c, --config FILE", "The configuration file (TOML); kmstwist config check FILE checks one.")
    for option in OPTIONS:
        short = f"-{option.short}, " if option.short else ""
        text = option.help + (" May be repeated." if option.repeated else "")
        lines += _entry(f"{short}--{option.name} VALUE", text)
    for flag, _, meaning in Options.optFlags:
        lines += _entry(f"--{flag}", str(meaning))
    lines += _entry("--version", "Show kmstwist's version and exit.")
    lines += [".SH TWISTD'S OWN OPTIONS", "They come before", ".BR kms :"]
    for term, text in (
        ("-n, --nodaemon", "Stay in the foreground."),
        ("--pidfile FILE", "The file for the process id; empty: none."),
        ("--logfile FILE", "The log file; -: standard output."),
        ("--syslog, --prefix NAME", "Log to syslog, under this name."),
        ("--uid USER, --gid GROUP", "The user and group to become once the ports are open."),
        ("--umask MODE", "Permissions that new files do not get."),
    ):
        lines += _entry(term, text)
    lines.append(".SH SIGNALS")
    for term, text in (
        ("TERM, INT", "Accept no more connections, finish the calls under way, and end with exit status 0."),
        ("HUP", "Apply a changed configuration. A bad one is refused in the log, and the old one stays in force."),
        ("USR1", "Open the log file again, after its rotation."),
    ):
        lines += _entry(term, text)
    lines += [".SH ENVIRONMENT"]
    lines += _entry(
        "LISTEN_PID, LISTEN_FDS", "Sockets that systemd opened: the server listens on them and nowhere else."
    )
    lines += _entry(
        "JOURNAL_STREAM", "Set by systemd if standard output is the journal, which then gets the log with fields."
    )
    lines += [*_files(), ".SH SEE ALSO", ".BR kmstwist (1),", ".BR twistd (1),", ".BR systemd.socket (5)"]
    return "\n".join(lines) + "\n"


#: File below man/ and what makes it.
PAGES: dict[str, Callable[[], str]] = {"kmstwist.1": command_page, "kmstwist-twistd.8": server_page}


def main(folder: str) -> None:
    """Write all pages below `folder`."""
    for name, make in PAGES.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
