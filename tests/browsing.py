"""A real browser for tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from tests.conftest import find_program
from tests.waiting import PATIENCE

#: Makes a page with a width and a colour scheme. Returns it with the list of the browser's complaints.
PageMaker = Callable[..., tuple[Page, list[str]]]


def _complaint(message: ConsoleMessage) -> str:
    return f"{message.text} at {message.location['url']}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, shared by all tests of a module."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Any) -> Iterator[PageMaker]:
    """Makes pages; each has its own storage and is closed after the test."""
    made: list[Any] = []

    def make(
        *, width: int = 1280, dark: bool = False, script: bool = True, zone: str = "Europe/Berlin", **options: Any
    ) -> tuple[Page, list[str]]:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            timezone_id=zone,
            **options,
        )
        made.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(_complaint(message)) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"{request.url} failed: {request.failure}"))
        return page, complaints

    yield make
    for context in made:
        context.close()
