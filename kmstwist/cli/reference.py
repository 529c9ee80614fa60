"""The reference pages, made from the program itself: `make docs` writes them, a test fails where they are stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import click

from kmstwist.cli.main import kmstwist
from kmstwist.cli.statemachines import machines_page
from kmstwist.configuration.document import commented_toml, reference_page
from kmstwist.logevents import CONVERSATION, REGISTRY
from kmstwist.process.options import Options
from kmstwist.reasons import EXPLANATIONS, Reason
from kmstwist.telemetry.counters import Snapshot, UpstreamState
from kmstwist.web.metrics.exposition import EXAMPLE_TOTALS, SnapshotCollector

_MADE = "<!-- Made from the program by `make docs`. -->\n"


def reasons_page() -> str:
    """Every reason code with its meaning and cure."""
    lines = [
        "# Reason codes",
        "",
        _MADE,
        "Reason codes appear in log lines (`reason=`), in the audit and in the metrics; their meaning never changes.",
        "",
        "| code | meaning | what to do |",
        "| --- | --- | --- |",
    ]
    for reason in Reason:
        explanation = EXPLANATIONS[reason]
        lines.append(f"| `{reason}` | {explanation.meaning} | {explanation.cure} |")
    return "\n".join(lines) + "\n"


#: A line as a gateway writes it, to show how one is read.
LOG_EXAMPLE = (
    "2026-11-22T07:56:35.215Z info conversation client=10.0.0.7 port=60668 version=6.0 upstream=kms1.corp.example:1688 "
    "result=answered code=0x00000000 reason=ok end=client phase=answered bind_ms=0.1 call_ms=0.7 total_ms=2.6 "
    "bytes_in=468 bytes_out=280"
)


def log_page() -> str:
    """Every log line with its fields, the most common one first."""
    lines = [
        "# Log lines",
        "",
        _MADE,
        "A line has a time (UTC), a level, an event and its fields. As text, it is `TIME LEVEL EVENT key=value …`; a",
        "value that contains anything but letters, digits and plain punctuation is in JSON quotes. As JSON",
        "(`--log-format=json`), each line is one object with `time`, `level`, `event` and the fields. A field without",
        "a value is left out. systemd's journal has each field in capitals after `KMS_`:",
        "`journalctl -u kmstwist KMS_REASON=ok`.",
        "",
        "Most lines are a `conversation`: one for each call of a client, or for a connection that ended without one.",
        "",
        "```",
        LOG_EXAMPLE,
        "```",
        "",
        "Client 10.0.0.7 asked in version 6.0 of the protocol; kms1 answered after 0.7 ms with success (`code`,",
        "`reason`), and the client ended the connection 2.6 ms after it had opened it. If something went wrong,",
        "`reason` has a [reason code](reasons.md), and `detail` says it in words; `kmstwist log --explain` adds what",
        "to do about it.",
        "",
        "Twisted's own messages appear as the event `twisted` with a field `text`: its warnings and errors always,",
        "the rest at level debug.",
        "",
        "| event | level | meaning |",
        "| --- | --- | --- |",
    ]
    names = sorted(REGISTRY, key=lambda name: (name != CONVERSATION.name, name))
    lines += [f"| [`{name}`](#{name}) | {REGISTRY[name].level} | {REGISTRY[name].meaning} |" for name in names]
    for name in names:
        event = REGISTRY[name]
        lines += ["", f"## {name}", "", f"Level {event.level}. {event.meaning}"]
        if event.fields:
            lines += ["", "| field | meaning |", "| --- | --- |"]
            lines += [f"| `{field}` | {meaning} |" for field, meaning in event.fields.items()]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics",
        "",
        _MADE,
        "The status site (`[web]` in the [configuration](configuration.md)) serves these at `/metrics` for Prometheus.",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    nobody = UpstreamState("kms1", "up")
    snapshot = Snapshot(mode="gateway", started=0.0, upstreams=[nobody], audit={"waiting": 0, "failing": 0})
    snapshot.events["waiting"] = 0
    for family in SnapshotCollector(snapshot, EXAMPLE_TOTALS).collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def options_page() -> str:
    """The options of `twistd kms`."""
    lines = ["# Options of `twistd kms`", "", _MADE, "| option | default | meaning |", "| --- | --- | --- |"]
    parameters = cast(Sequence[Sequence[object]], Options.optParameters)
    for name, short, default, text, *_ in parameters:
        shown = f"`--{name}`" + (f", `-{short}`" if short else "")
        lines.append(f"| {shown} | {'' if default is None else f'`{default}`'} | {text} |")
    for name, short, text in getattr(Options, "optFlags", []):
        lines.append(f"| `--{name}`" + (f", `-{short}`" if short else "") + f" | | {text} |")
    for attribute in sorted(vars(Options)):
        if attribute.startswith("opt_"):
            text = re.sub(r"\s+", " ", getattr(Options, attribute).__doc__ or "").strip()
            lines.append(f"| `--{attribute[4:].replace('_', '-')}` | | {text} |")
    lines += [
        "",
        "twistd's own options come before `kms`: `--nodaemon` (`-n`), `--pidfile`, `--logfile`, `--syslog`,",
        "`--prefix`, `--uid`, `--gid`, `--umask`, `--chroot`. On SIGUSR1, the server opens its log file again.",
        "`--uid` takes a user that the system knows, by name or number. For a number without a user, as in containers,",
        "start twistd as that user. An unknown name ends in twistd's own traceback.",
    ]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every verb of `kmstwist` with its help."""
    lines = ["# The `kmstwist` command", "", _MADE]
    for context in contexts(terminal_width=100, max_content_width=100):
        lines += [f"## {context.command_path}", "", "```", context.get_help(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def contexts(**settings: Any) -> Iterator[click.Context]:
    """The context of `kmstwist` and of every verb below it, as it is when the verb is called."""
    return _below(click.Context(kmstwist, info_name="kmstwist", **kmstwist.context_settings, **settings))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _below(click.Context(found, parent=context, info_name=name, **found.context_settings))


#: File below docs/ and what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "reference/reasons.md": reasons_page,
    "reference/log.md": log_page,
    "reference/metrics.md": metrics_page,
    "reference/twistd-kms.md": options_page,
    "reference/kmstwist.md": commands_page,
    "reference/configuration.md": reference_page,
    "machines.md": machines_page,
}


def main(folder: str) -> None:
    """Write all pages below `folder`, and the configuration file to install beside it."""
    for name, make in PAGES.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    configuration = Path(folder).parent / "etc" / "kmstwist" / "kmstwist.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(commented_toml(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
