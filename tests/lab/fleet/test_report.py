from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.fleet.page import page
from kmstwist.lab.fleet.record import FleetResult
from kmstwist.lab.fleet.report import compared, document, figures, rows, write_csv, write_json
from kmstwist.lab.fleet.simulation import Fleet
from tests.browsing import PageMaker, browser_page, chromium

from .scenarios import machines, scenario

__all__ = ["browser_page", "chromium"]


@pytest.fixture(scope="module")
def result() -> FleetResult:
    """25 machines whose host is away from day 2 to day 215: lost, notified, restored."""
    away = [{"name": "kms", "outages": [{"from_day": 2, "days": 213}]}]
    return Fleet(scenario(days=220, name='Away <b>&amp; "back"', host=away)).run()


def test_the_figures_are_those_of_the_run(result: FleetResult) -> None:
    figure = figures(result)
    assert (figure.machines, figure.licences, figure.lost, figure.reduced, figure.not_restored) == (25, 25, 25, 25, 0)
    assert figure.at_end[LicenseStatus.LICENSED] == 25
    assert (figure.most_in_grace, figure.most_in_notification) == (25, 25)
    assert (figure.peak_host, figure.peak_requests) == ("kms", 25)
    assert figure.peak_at == result.begins
    assert figure.attempts == figure.unanswered + sum(result.requests["kms"])


def test_the_summary_has_them_in_words(result: FleetResult) -> None:
    said = dict(rows(result))
    assert said["lost their activation"] == "25 after 180 days without renewal"
    assert said["all licensed"] == "day 0.08 (2026-01-05T02:00Z)"
    assert "No Key Management Service" in said["0xC004F074"]


def test_json_holds_everything_and_its_series_are_as_long_as_the_run(result: FleetResult) -> None:
    file = io.StringIO()
    write_json(result, file)
    read = json.loads(file.getvalue())
    assert read == document(result)
    assert len(read["losses"]) == 25
    assert read["losses"][0]["lost_at"] == "2026-07-04T02:00Z"
    assert len(read["hourly"]["states"]["Windows"]["licensed"]) == read["hours"] == 220 * 24


def test_csv_has_a_line_for_each_hour(result: FleetResult) -> None:
    file = io.StringIO()
    write_csv(result, file)
    lines = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(lines) == 220 * 24
    assert lines[0]["hour_ending"] == "2026-01-05T01:00Z"
    assert (lines[0]["licensed"], lines[0]["initial_grace"], lines[0]["requests kms"]) == ("1", "24", "25")
    assert lines[-1]["count kms Windows"] == "25"


def test_two_runs_stand_side_by_side(result: FleetResult) -> None:
    other = Fleet(scenario(days=220, machines=machines(count=24))).run()
    table = {heading: values for heading, *values in compared(result, other)}
    assert table["machines"] == ["25", "24"]
    assert table["never licensed"] == ["0", "24"]
    assert table["all licensed"] == ["day 0.08", "never"]


def test_the_page_needs_nothing_from_anywhere_and_text_cannot_break_it(result: FleetResult) -> None:
    text = page([result])
    assert not re.search(r"""(?:src|href)\s*=|https?://|@import|url\(""", text)
    assert "<b>&amp;" not in text
    assert "Away &lt;b&gt;&amp;amp; &#34;back&#34;" in text
    assert text.count("</script>") == 2
    assert len(text) < 200_000


def drawn_in(chart: Locator) -> int:
    """How many points a chart shows."""
    drawn = chart.get_attribute("data-drawn")
    assert drawn is not None
    return int(drawn)


@pytest.mark.needs("chromium")
def test_the_charts_answer_to_the_mouse_and_the_keyboard(
    result: FleetResult, tmp_path: Path, browser_page: PageMaker
) -> None:
    page_file = tmp_path / "page.html"
    other = Fleet(scenario(days=60, machines=machines(count=24))).run()
    page_file.write_text(page([result, other]))
    browser, complaints = browser_page(width=1240, dark=True)
    browser.goto(page_file.as_uri())
    charts = browser.locator("figure.chart")
    drawn = "els => els.map(el => [el.dataset.chart, Number(el.dataset.drawn)])"
    assert charts.evaluate_all(drawn) == [
        *(["states", 5280], ["requests", 5280], ["counts", 5280]),
        *(["states", 1440], ["requests", 1440], ["counts", 1440]),
    ]
    # The mouse: a tenth of the first chart is dragged across, a series of the second hidden.
    over = charts.nth(0).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    browser.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 100)
    browser.mouse.down()
    browser.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 100, steps=5)
    browser.mouse.up()
    assert 500 < drawn_in(charts.nth(0)) < 560
    assert charts.nth(0).locator(".whole").is_visible()
    browser.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 100)
    assert re.search(r"\w{3} 2026-\d\d-\d\d \d\d:00", charts.nth(0).locator(".u-legend").inner_text())
    charts.nth(1).locator(".u-legend th").nth(1).press("Enter")
    assert charts.nth(1).locator(".u-legend .u-off").count() == 1
    # The keyboard: closer three times, to the first hour shown and a day on; then all again.
    plot = charts.nth(2).locator(".plot")
    plot.focus()
    for key in ("+", "+", "+", "Home", "Shift+ArrowRight"):
        plot.press(key)
    # An eighth of 5,280 hours, round the middle.
    assert 658 <= drawn_in(charts.nth(2)) <= 661
    assert re.search("2026-04-12 0[567]:00", charts.nth(2).locator(".u-legend").inner_text())
    plot.press("Escape")
    assert charts.nth(2).get_attribute("data-drawn") == "5280"
    # Paper is white.
    colour = "getComputedStyle(document.body).color"
    ink = [browser.evaluate(colour)]
    for event in ("beforeprint", "afterprint"):
        browser.evaluate(f"window.dispatchEvent(new Event('{event}'))")
        ink.append(browser.evaluate(colour))
    assert ink == ["rgb(228, 233, 239)", "rgb(29, 39, 51)", "rgb(228, 233, 239)"]
    assert complaints == []


def test_each_chart_has_its_numbers_as_a_table(result: FleetResult) -> None:
    text = page([result])
    tables = re.findall(r"<caption>(.*?)</caption>(.*?)</table>", text, re.DOTALL)
    assert [caption for caption, _ in tables] == [
        "Licences by state, at the end of each day (UTC)",
        "Requests in each hour, in each day (UTC)",
        "Client count at the hosts, at the end of each day (UTC)",
    ]
    rows = re.findall(r"<tr>(?:<td>(.*?)</td>)+</tr>", tables[1][1])
    assert len(rows) == result.hours // 24
    requests = [int(row.replace(",", "")) for row in re.findall(r"<tr><td>[\d-]+</td><td>([\d,]+)</td>", tables[1][1])]
    assert sum(requests) == sum(result.requests["kms"])


@pytest.mark.parametrize(
    "changes",
    [
        # 2026-01-03 is a Saturday.
        {"start": date(2026, 1, 3), "days": 2, "machines": machines(office_hours={})},
        {"days": 3, "machines": machines(office_hours={"days": ["sun"]})},
        {"days": 0.5, "machines": machines(office_hours={"opens": "13:00:00"})},
    ],
)
def test_a_run_in_which_no_machine_is_switched_on_is_all_zeros_and_says_so(changes: dict[str, Any]) -> None:
    result = Fleet(scenario(**changes)).run()
    assert result.total(LicenseStatus.LICENSED) == [0] * result.hours
    said = dict(rows(result))
    assert said["never switched on"].startswith("all of them, in all this time")
    assert said["at the end"] == "no machine is there"
    assert (document(result)["never_on"], document(result)["hourly"]["states"]) == (25, {})
    file = io.StringIO()
    write_csv(result, file)
    assert [line["licensed"] for line in csv.DictReader(io.StringIO(file.getvalue()))] == ["0"] * result.hours
    assert "never switched on" in page([result])
    assert ("never switched on", "25", "25") in compared(result, result)


def test_machines_that_are_never_on_are_shown_beside_those_that_are() -> None:
    off = machines(name="OFF", count=3, office_hours={"days": ["sun"]})
    said = dict(rows(Fleet(scenario(days=3, machines=machines() + off)).run()))
    assert said["never switched on"] == "machines with 3 licences, in all this time"
    assert "never switched on" not in dict(rows(Fleet(scenario(days=3)).run()))


def test_machines_may_leave_in_the_hour_in_which_they_join() -> None:
    result = Fleet(scenario(days=2, machines=machines(leaves={"from_day": 0.01}))).run()
    said = dict(rows(result))
    assert "never switched on" not in said
    assert said["at the end"] == "no machine is there"
