"""The warning that few clients fit comes if somebody wanted more, or if they are few for a site."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.logger import globalLogPublisher

from kmstwist.configuration.reading import load
from kmstwist.process.descriptors import share_out
from kmstwist.server.descriptor_budget import say_what_does_not_fit
from tests.logs import Observer


@pytest.mark.parametrize(
    ("set_to", "limit", "said"),
    [
        (None, 20_000, False),
        (None, 4096, False),
        (None, 1024, True),
        (20_000, 20_000, True),
        (20_000, 65_536, False),
        (100, 256, False),
        (500, 512, True),
    ],
)
def test_it_warns_where_more_were_wanted_or_few_fit(set_to: int | None, limit: int, said: bool, tmp_path: Path) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text("" if set_to is None else f"[server.limits]\nconnections = {set_to}\n")
    config = load(file).config
    budget = share_out(limit, wanted=config.server.limits.connections, hosts=0, ceiling=0, web=False)
    told: list[object] = []
    observe = Observer(told.append)
    globalLogPublisher.addObserver(observe)
    try:
        say_what_does_not_fit(config, budget, 1)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert bool(told) is said
