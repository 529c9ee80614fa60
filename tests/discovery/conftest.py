"""Fixtures for the discovery tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.discovery.named import Named, free_port


@pytest.fixture
def start_named(tmp_path: Path) -> Iterator[Callable[..., Named]]:
    """Starts BIND servers with the given zones; they end with the test."""
    running: list[Named] = []

    def start(zones: dict[str, str], keys: dict[str, str] | None = None) -> Named:
        folder = tmp_path / f"named{len(running)}"
        folder.mkdir()
        server = Named(folder, free_port(), zones)
        running.append(server)
        server.start({"gateway": "hmac-sha256"} if keys is None else keys)
        return server

    yield start
    for server in running:
        server.stop()
