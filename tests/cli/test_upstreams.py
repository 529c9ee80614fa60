"""The table of upstreams, on terminals and pipes of any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from kmstwist.cli.gateway.upstreams import show_table


def upstream(name: str, **changed: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(("priority", "idle", "busy", "waiting", "refused", "failed"), 0)
    there = {"address": "10.0.0.11:1688", "found": "configured", "state": "up", "detail": "", "weight": 100}
    return {"name": name, "answered": 1_234_567, **numbers, **there, **changed}


FOUND = [
    upstream("kms1"),
    upstream("[red]backup", state="down/trying", detail="probe: no connection within the timeout"),
    upstream("kms-1.site-a.corp.example:1688", address="kms-1.site-a.corp.example:1688", found="dns"),
]


def shown(width: int, *, terminal: bool) -> list[str]:
    output = io.StringIO()
    show_table(FOUND, Console(file=output, width=width, force_terminal=terminal, no_color=True, color_system=None))
    return [line.rstrip() for line in output.getvalue().splitlines()]


@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_narrow_terminal_has_the_details_below_and_nothing_cut(width: int) -> None:
    lines = shown(width, terminal=True)
    assert [line.split()[0] for line in lines[:4]] == ["upstream", *(one["name"] for one in FOUND)]
    assert lines[2].split()[1:] == ["down/trying", "0", "100", "0", "0", "0", "1234567", "0", "0"]
    assert lines[4:] == [
        "kms1: at 10.0.0.11:1688",
        "[red]backup: at 10.0.0.11:1688; probe: no connection within the timeout",
        "kms-1.site-a.corp.example:1688: found in DNS",
    ]


@pytest.mark.parametrize(("width", "terminal"), [(200, True), (80, False), (20, False)])
def test_a_wide_terminal_and_a_pipe_have_one_line_for_each_upstream(width: int, terminal: bool) -> None:
    lines = shown(width, terminal=terminal)
    assert len(lines) == 4
    assert lines[0].split()[-1] == "detail"
    assert lines[2].endswith("at 10.0.0.11:1688; probe: no connection within the timeout")
