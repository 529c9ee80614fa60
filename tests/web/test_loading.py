"""The site is loaded after the start, even if that fails at first."""

from __future__ import annotations

import errno
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import pytest
from twisted.internet.testing import MemoryReactorClock

from kmstwist.web import service
from kmstwist.web.service import WebService
from kmstwist.web.settings import WebSettings
from tests.ports import free_port


class NoSite(WebService):
    """Counts how often the site was made, in place of making it."""

    made = 0

    def site(self) -> Any:
        self.made += 1


def test_a_site_that_lacks_descriptors_to_load_is_loaded_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")] * 3
    loaded = []

    def load(name: str) -> ModuleType:
        if failures:
            raise failures.pop()
        loaded.append(name)
        return import_module("errno")

    monkeypatch.setattr(service, "import_module", load)
    monkeypatch.setattr(service, "put_aside", lambda: None)
    reactor = MemoryReactorClock()
    one = NoSite(WebSettings(listen=f"127.0.0.1:{free_port()}"), cast(Any, None), cast(Any, reactor))
    one.startService()
    reactor.pump([0.1] * 40)
    assert (one.made, loaded) == (0, [])
    reactor.pump([0.1] * 60)
    assert (one.made, "twisted.web.server" in loaded, "kmstwist.web.site" in loaded) == (1, True, True)
