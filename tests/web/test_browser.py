"""The status site in a real browser: Debian's Chromium on every page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from kmstwist.audit.reports.all import REPORTS
from tests.browsing import PageMaker, browser_page, chromium
from tests.waiting import PATIENCE
from tests.web.conftest import Sites
from tests.web.serving import HOSTILE

__all__ = ["browser_page", "chromium"]

# One process serves, and one browser looks.
pytestmark = [pytest.mark.needs("chromium"), pytest.mark.xdist_group("browser")]

WIDTHS = (390, 768, 1024, 1280, 2560)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
#: Finds what is cut at the window's edge, or would need a horizontal scroll bar.
CUT = """() => {
  const wide = document.documentElement.clientWidth;
  const cut = [...document.querySelectorAll("main *, .side *")].filter((one) => {
    const { left, right, width } = one.getBoundingClientRect();
    const hidden = one.closest(".hidden, .skip, thead, .chart details, svg, .uplot");
    return width && !hidden && (right > wide + 1 || left < -1);
  });
  const inside = [...document.querySelectorAll("td, dd, h1, h2, .card > header, li")].filter((one) => {
    const left_out = one.closest(".chart, .months, .hidden, thead");
    return one.scrollWidth > one.clientWidth + 1 && one.clientWidth && !left_out;
  });
  const scrolls = document.documentElement.scrollWidth > wide ? ["the page"] : [];
  const told = [...cut, ...inside].map((one) => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 60)}`);
  return [...scrolls, ...told];
}"""


def path(page: str, **words: object) -> str:
    return f"{page}?{urlencode(words)}"


MACHINE = "lab-office-01"
#: Few rows of the long lists: one shows as much as fifty.
SHORT = {"rows": 4}
PAGES = [
    ("busy", ""),
    ("busy", path("machines", **SHORT)),
    ("busy", path("machines", search="x" * 255)),
    ("busy", path("machines", days="many", network="here")),
    ("busy", path("machine", name="x" * 255)),
    ("busy", path("calls", **SHORT)),
    ("busy", path("refusals", days=400)),
    ("busy", path("code", name="0xC004F038", days=400, **SHORT)),
    ("busy", "activity"),
    ("busy", "hosts"),
    ("busy", "products"),
    ("busy", path("product", name="Office Professional Plus 2019")),
    ("busy", "networks"),
    ("busy", path("network", name="10.20.1.0/24")),
    ("busy", "duplicates"),
    ("busy", "no-such-page"),
    ("busy", "reports/"),
    ("busy", "reports/failures?since=400d"),
    ("degraded", ""),
    ("degraded", path("host", name="kms02.lab.example")),
    ("degraded", "strangers"),
    ("down", "hosts"),
    ("empty", ""),
    ("empty", "machines"),
    ("lab", ""),
    ("lab", "lab"),
    ("off", ""),
    ("off", "machines"),
]
#: Pages with no parts of their own, but which may be too wide for a window.
MORE = [("busy", path("machine", name=MACHINE)), *(("busy", f"reports/{name}") for name in REPORTS)]


def quiet(complaints: list[str]) -> bool:
    """Whether the browser complained only of requests that it ended itself when it left a page.

    These are the page's event stream, and a request for news that was under way.
    """
    return all(text.endswith("failed: net::ERR_ABORTED") for text in complaints)


def faults(page: Page) -> list[str]:
    """axe's findings that break WCAG 2.1 AA."""
    found: Any = Axe().run(page, options={"runOnly": WCAG}).response
    return [
        f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]


def cut(page: Page) -> list[str]:
    """What is cut at some width, from a phone's to a wall display's."""
    found: list[str] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"at {width}: {each}" for each in page.evaluate(CUT)]
    return found


def test_every_page_is_readable_and_quiet_and_nothing_on_it_is_cut(sites: Sites, browser_page: PageMaker) -> None:
    """On a phone in dark mode and on a screen in light mode by turns; all faults are reported together."""
    wrong: list[str] = []
    #: What the browser itself reports of a page's own status, some time after the page is there.
    own: set[str] = set()
    page, complaints = browser_page()
    for number, (place, where) in enumerate(PAGES):
        dark = number % 2 == 0
        page.set_viewport_size({"width": 390 if dark else 1280, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        answer = page.goto(sites.urls[place] + where)
        assert answer is not None
        expected = 404 if "no-such" in where or (place == "off" and where) else 400 if "many" in where else 200
        found = [] if answer.status == expected else [f"status {answer.status}"]
        own.add(f"{expected} at {answer.url}")
        found += faults(page)
        found += cut(page)
        wrong += [f"{place} /{where}: {each}" for each in found]
    said = [re.sub(r".*status of (\d+) .* at ", r"\1 at ", text) for text in complaints]
    wrong += [text for text in said if text not in own and not quiet([text])]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_cut_on_the_other_pages_either(sites: Sites, browser_page: PageMaker) -> None:
    page, _ = browser_page()
    wrong: list[str] = []
    for place, where in MORE:
        page.goto(sites.urls[place] + where)
        wrong += [f"{place} /{where}: {each}" for each in cut(page)]
    assert not wrong, "\n".join(wrong)


def test_a_name_of_any_kind_is_shown_as_it_is_and_leads_to_its_machine(sites: Sites, browser_page: PageMaker) -> None:
    page, complaints = browser_page()
    for name in HOSTILE:
        page.goto(sites.urls["busy"] + path("machines", search=name))
        link = page.locator("td.name a")
        assert link.all_text_contents() == [name.lower()], page.url
        link.click()
        page.wait_for_url("**/machine?*")
        assert page.locator("h1").text_content() == name.lower()
        assert page.locator("[data-live=timeline] tbody tr").count() == 1, name
        assert page.title() != "taken"
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert quiet(complaints)


def test_a_day_of_the_calendar_says_what_it_was_and_leads_to_its_calls(sites: Sites, browser_page: PageMaker) -> None:
    page, complaints = browser_page()
    page.goto(sites.urls["busy"] + "activity")
    day = page.locator(".months a").last
    when, _, told = (day.get_attribute("title") or "").partition(": ")
    assert told[0].isdecimal()
    expect(day).to_have_accessible_name(f"{when}: {told}")
    # A chart draws the numbers that its table shows as text.
    values = page.locator(".chart td + td").all_text_contents()
    assert sum(int(text.replace(",", "")) for text in values) > 0
    assert page.locator(".chart .u-over").count() == 1
    day.click()
    page.wait_for_url("**/calls?*")
    assert page.url.endswith(f"day={when}")
    assert quiet(complaints)


def test_search_sort_and_pages(sites: Sites, browser_page: PageMaker) -> None:
    page, complaints = browser_page()
    # From the first page onward.
    page.goto(sites.urls["busy"])
    page.get_by_role("searchbox", name="Find a machine").fill("lab-server")
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("lab-server")
    names = page.locator("td.name a")
    expect(names.first).to_contain_text("lab-server")
    assert all("lab-server" in text for text in names.all_text_contents())
    page.get_by_role("link", name="Machine", exact=True).click()
    expect(page.get_by_role("columnheader", name="Machine")).to_have_attribute("aria-sort", "ascending")
    rising = names.all_text_contents()
    assert rising == sorted(rising)
    page.get_by_role("link", name="Machine", exact=True).click()
    expect(page.get_by_role("columnheader", name="Machine")).to_have_attribute("aria-sort", "descending")
    assert names.all_text_contents() == rising[::-1]
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("lab-server")
    page.get_by_role("link", name="Clear").click()
    first = names.all_text_contents()
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager")).to_contain_text("page 2")
    assert not set(first) & set(names.all_text_contents()) or first != names.all_text_contents()
    assert quiet(complaints)


def test_by_keyboard_alone(sites: Sites, browser_page: PageMaker) -> None:
    page, _ = browser_page()
    page.goto(sites.urls["busy"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    # To the chart, and through it.
    for _ in range(40):
        if page.evaluate("document.activeElement.className") == "plot":
            break
        page.keyboard.press("Tab")
    legend = page.locator(".u-legend").first
    before = legend.inner_text()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert legend.inner_text() != before
    # Whatever has the focus shows it.
    shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert shown == "solid"


def test_times_are_local_and_utc_is_shown_on_hovering(sites: Sites, browser_page: PageMaker) -> None:
    for zone in ("Pacific/Chatham", "America/St_Johns", "Etc/GMT+12"):
        page, complaints = browser_page(zone=zone)
        page.goto(sites.urls["busy"] + "calls")
        when = page.locator("td time").first
        told = page.evaluate(
            """([one, timeZone]) => new Date(one.dateTime).toLocaleString("sv-SE", { timeZone }).slice(0, 16)""",
            [when.element_handle(), zone],
        )
        assert when.text_content() == told
        assert (when.get_attribute("title") or "").endswith(" UTC")
        assert zone in (page.locator(".side .zone").text_content() or "")
        assert quiet(complaints)


def test_without_scripts_only_charts_and_updates_are_missing(sites: Sites, browser_page: PageMaker) -> None:
    page, _ = browser_page(script=False)
    page.goto(sites.urls["busy"])
    expect(page.locator(".tiles b").first).to_be_visible()
    expect(page.get_by_text("The chart needs JavaScript").first).to_be_visible()
    page.locator(".chart summary").first.click()
    expect(page.locator(".chart table").first).to_be_visible()
    assert "UTC" in (page.locator("td time").last.text_content() or "")
    page.goto(sites.urls["busy"] + "machines")
    page.get_by_role("searchbox").fill("lab-server")
    page.get_by_role("button", name="Search").click()
    assert "lab-server" in page.locator("td.name a").all_text_contents()[0]


def test_a_mistake_is_reported_beside_its_field(sites: Sites, browser_page: PageMaker) -> None:
    page, _ = browser_page()
    page.goto(sites.urls["busy"] + path("machines", days="many", search="lab"))
    field = page.get_by_label("Days")
    expect(field).to_have_value("many")
    assert page.locator(f"#{field.get_attribute('aria-describedby')}").text_content() == "'many' is not a whole number"
    expect(page.get_by_role("searchbox")).to_have_value("lab")


def test_a_page_whose_server_no_longer_answers_shows_its_age(sites: Sites, browser_page: PageMaker) -> None:
    page, _ = browser_page(width=390)
    page.route("**/events", lambda route: route.abort())
    page.goto(sites.urls["busy"])
    expect(page.locator("#live")).to_contain_text("the server does not answer")
    assert page.evaluate("getComputedStyle(document.querySelector('.pill')).filter") == "grayscale(1)"
    assert cut(page) == []
    assert faults(page) == []


def test_an_open_page_follows_what_happens(sites: Sites, browser_page: PageMaker) -> None:
    """Comes last: it changes what the other tests look at."""
    page, complaints = browser_page()
    page.goto(sites.urls["busy"])
    expect(page.locator("#live")).to_have_text("Live", timeout=PATIENCE * 1000)
    expect(page.locator(".pill")).to_have_text("Healthy")
    page.evaluate("window.same = true")
    page.get_by_role("link", name="Machines").first.focus()
    sites.order("call brand-new-machine")
    expect(page.get_by_role("link", name="brand-new-machine")).to_be_visible(timeout=PATIENCE * 1000)
    sites.order("fail")
    expect(page.locator(".pill")).to_have_text("Degraded", timeout=PATIENCE * 1000)
    expect(page.locator(".banner")).to_contain_text("kms02.lab.example has not answered (for ")
    assert "Degraded" in page.title()
    # The page was not loaded again, and its scroll position is the same.
    assert page.evaluate("window.same")
    assert page.evaluate("document.activeElement.textContent") == "Machines"
    # The chart is drawn again with the page, and once more in the dark.
    assert page.locator(".u-legend").count() == 2
    page.emulate_media(color_scheme="dark")
    assert page.locator(".u-legend").count() == 2
    assert quiet(complaints)
