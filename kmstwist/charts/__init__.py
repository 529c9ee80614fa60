"""Charts for every page that the program makes: uPlot, as its authors ship it, and our own script and style sheet.

The status site serves these files; the fleet's report holds them inside itself. `uplot.js` and `uplot.css` are uPlot
1.6.32 unchanged (MIT licence, see `assets/uplot.LICENSE`); `charts.js` draws what stands in a page's tables.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

#: The version of uPlot in `assets`.
UPLOT = "1.6.32"
#: The notice that a page with uPlot must contain.
NOTICE = f"uPlot {UPLOT}, Copyright (c) 2022 Leon Sorokin, MIT licence"


@cache
def asset(name: str) -> str:
    """One of the files: uplot.js, uplot.css, charts.js or charts.css."""
    return resources.files("kmstwist.charts").joinpath("assets", name).read_text(encoding="utf-8")


def script() -> str:
    """Both scripts as one, for use inside a page."""
    # Without the first line, a comment with an address: a page that names no other place can be searched for any.
    library = asset("uplot.js").partition("*/")[2].lstrip()
    return f"/* {NOTICE} */\n{library}\n{asset('charts.js')}"


def style() -> str:
    """Both style sheets as one, for use inside a page."""
    return f"{asset('uplot.css')}\n{asset('charts.css')}"
