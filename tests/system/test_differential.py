"""Generated conversations: a lab answers them as Samba's own RPC server does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.differential.run import compare, report
from tests.differential.servers import PrivateSamba, lab_like

SEED, COUNT = 2026, 1000


@pytest.mark.needs("samba", "samba-server")
def test_a_thousand_conversations_are_answered_as_samba_answers_them(tmp_path: Path) -> None:
    with PrivateSamba(tmp_path / "samba") as samba, lab_like(samba, tmp_path) as lab:
        comparison = asyncio.run(compare(lab.port, samba.port, SEED, range(COUNT)))
    assert comparison.found == [], report(comparison)
    assert comparison.alike + sum(comparison.free.values()) == COUNT
    # Most are alike to the last byte that counts; otherwise the reasons would prove nothing.
    assert comparison.alike > COUNT * 0.75, report(comparison)
