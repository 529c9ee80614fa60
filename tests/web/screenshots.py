"""Takes the pictures of the documentation: `python -m tests.web.screenshots docs/pictures`.

They show the sites that the tests look at, at the same moment, so that a picture changes only when the site does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.conftest import find_program
from tests.web.serving import NOW

#: Each picture: site, page, width, height, dark.
PICTURES = {
    "overview": ("busy", "", 1280, 860, False),
    "degraded": ("degraded", "", 1280, 420, False),
    "dark": ("busy", "activity", 1280, 760, True),
    "machines": ("busy", "machines?state=expiring", 1280, 560, False),
    "machine": ("busy", "machine?name=lab-office-001", 1280, 620, False),
    "refusals": ("busy", "refusals?days=365", 1280, 560, False),
    "lab": ("lab", "lab", 1280, 400, False),
    "phone": ("degraded", "", 390, 760, True),
}


def take(page: Page, url: str, file: Path) -> None:
    """Take one picture, once charts are drawn and the page is live."""
    page.clock.set_fixed_time(datetime.fromtimestamp(NOW, UTC))
    page.goto(url)
    page.locator("#live[data-on]").wait_for()
    # The pages have only a few dozen colours; with a palette, a picture is a quarter of the size.
    picture = Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    picture.quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as place, sync_playwright() as playwright:
        command = [sys.executable, "-m", "tests.web.serving", place, "800"]
        serving = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert serving.stdout is not None
        urls = json.loads(serving.stdout.readline())
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (site, path, width, height, dark) in PICTURES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                timezone_id="Europe/Berlin",
                reduced_motion="reduce",
            )
            take(context.new_page(), urls[site] + path, folder / f"{name}.png")
            context.close()
        browser.close()
        serving.communicate("")


if __name__ == "__main__":
    main()
