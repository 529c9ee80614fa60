"""A page's command blocks: the commands in order, and the output that the page shows for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
#: What a line begins with if it is typed into a shell; other blocks show a file or a line of a log.
_TYPED = re.compile(
    r"(?:kmstwist|twistd|make|curl|systemctl|service|journalctl|apt-get|install|python3?|ln|sed|adduser|update-rc\.d|tar|"
    r"chown|chmod|rm|docker|podman|kubectl|psql|createdb|nft|ufw|firewall-cmd|iptables|ip6tables|dig|ss|"
    r"tsig-keygen|rndc|kinit|ktutil|nsupdate|sudo|packaging/|/etc/init\.d/|/usr/lib/kmstwist|\. )"
)


@dataclass
class Step:
    """One command and the lines shown below it, or the content of a file."""

    line: int
    command: str
    shown: list[str] = field(default_factory=list)
    kind: str = ""
    #: Which of the page's blocks of its kind it is, from 1.
    number: int = 0


def text_of(page: str) -> str:
    """A page's Markdown."""
    return (ROOT / f"{page}.md").read_text()


def steps(text: str) -> Iterator[Step]:
    """Every command of every block, in order, and every block of TOML as a step of its own."""
    tables = 0
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        indent, kind, content = block.groups()
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        if kind == "toml":
            tables += 1
            yield Step(first, "\n".join(lines), kind="toml", number=tables)
        elif kind in ("", "sh", "console", "shell"):
            yield from _commands(lines, first)


def _commands(lines: list[str], first: int) -> Iterator[Step]:
    prompted = any(line.startswith("$ ") for line in lines)
    step: Step | None = None
    continued = False
    for number, line in enumerate(lines, first):
        if continued and step is not None:
            step.command += "\n" + line
        elif prompted and line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, line[2:])
        elif prompted:
            if step is not None:
                step.shown.append(line)
            continue
        elif _TYPED.match(line):
            if step is not None:
                yield step
            step = Step(number, line)
        else:
            # A file, or lines of a log.
            return
        continued = line.endswith("\\")
    if step is not None:
        while step.shown and not step.shown[-1].strip():
            step.shown.pop()
        yield step


_PATTERNS = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\bLAB(?:HK)?-[0-9A-F]{4,8}(?:-[0-9A-F]{4})+\b"), "LAB-ID"),
    (re.compile(r"\b\d{1,4}[-/]\d{1,2}[-/]\d{1,4}(?:[T ]\d\d?:\d\d(?::\d\d)?(?:\.\d+)?)?(?: [AP]M|Z)?"), "TIME"),
    (re.compile(r"(?<=Partial Product Key: )\w{5}$"), "KEY"),
    (re.compile(r"(?:LAB-)?\d{6}(?:-\d{6}){7}|\b\d{63}\b"), "PHONE"),
    # A host that is away is tried now and then; whether at this moment cannot be predicted.
    (re.compile(r"\btrying\b"), "down"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "N"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"─+"), "─"),
)


def pattern(line: str) -> str:
    """A line with its numbers, times and ids as patterns, and its gaps as one space."""
    for found, put in _PATTERNS:
        line = found.sub(put, line)
    return line.strip()


_DOTS = ("…", "...")


def differs(shown: list[str], printed: list[str]) -> str:
    """Where the output differs from the page; empty if it does not. A line of dots stands for any lines."""
    left = [pattern(line) for line in printed if line.strip()]
    wanted = [line for line in map(pattern, shown) if line]
    # Every place that the lines so far may have reached; several, since a line of dots may stand for any number.
    places, skipping = {0}, False
    for line in wanted:
        if line in _DOTS:
            skipping = True
            continue
        tried = set(range(min(places), len(left))) if skipping else {place for place in places if place < len(left)}
        found = {place + 1 for place in tried if _alike(line, left[place])}
        if not found:
            if skipping:
                return f"the page shows {line!r}, which is not among {left[min(places) :]}"
            return f"the page shows {line!r}, and printed was {left[min(tried)] if tried else 'nothing more'!r}"
        places, skipping = found, False
    if skipping or len(left) in places:
        return ""
    return f"the page does not show {left[max(places)]!r}"


_IDS = re.compile(r"\b(?:LAB-)?\d{6}(?:-\d{6}){7}\b|\b\d{63}\b")


def same_ids(shown: list[str], printed: list[str]) -> dict[str, str]:
    """The ids of a page that are typed further down, each with the one that was printed in its place."""
    there = [found for line in shown for found in _IDS.findall(line)]
    here = [found for line in printed for found in _IDS.findall(line)]
    return dict(zip(there, here, strict=False))


def _alike(wanted: str, printed: str) -> bool:
    """Whether two patterns are the same, but for what the page itself leaves out by an ellipsis within the line."""
    if "…" not in wanted and "..." not in wanted:
        return wanted == printed
    parts = [re.escape(part.strip()) for part in re.split(r"…|\.\.\.", wanted)]
    return re.fullmatch(r".*".join(parts), printed) is not None
