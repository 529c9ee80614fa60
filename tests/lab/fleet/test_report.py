from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from datetime import date

import pytest

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.fleet.page import page
from kmstwist.lab.fleet.report import compared, document, figures, rows, write_csv, write_json
from kmstwist.lab.fleet.simulation import Fleet
from tests.waiting import PATIENCE

from .scenarios import machines, scenario


@pytest.fixture(scope="module")
def result():
    """25 machines whose host is away from day 2 to day 215: lost, notified, restored."""
    away = [{"name": "kms", "outages": [{"from_day": 2, "days": 213}]}]
    return Fleet(scenario(days=220, name='Away <b>&amp; "back"', host=away)).run()


def test_the_figures_are_those_of_the_run(result) -> None:
    figure = figures(result)
    assert (figure.machines, figure.licences, figure.lost, figure.reduced, figure.not_restored) == (25, 25, 25, 25, 0)
    assert figure.at_end[LicenseStatus.LICENSED] == 25
    assert (figure.most_in_grace, figure.most_in_notification) == (25, 25)
    assert (figure.peak_host, figure.peak_requests) == ("kms", 25)
    assert figure.peak_at == result.begins
    assert figure.attempts == figure.unanswered + sum(result.requests["kms"])


def test_the_summary_has_them_in_words(result) -> None:
    said = dict(rows(result))
    assert said["lost their activation"] == "25 after 180 days without renewal"
    assert said["all licensed"] == "day 0.08 (2026-01-05T02:00Z)"
    assert "No Key Management Service" in said["0xC004F074"]


def test_json_holds_everything_and_its_series_are_as_long_as_the_run(result) -> None:
    file = io.StringIO()
    write_json(result, file)
    read = json.loads(file.getvalue())
    assert read == document(result)
    assert len(read["losses"]) == 25
    assert read["losses"][0]["lost_at"] == "2026-07-04T02:00Z"
    assert len(read["hourly"]["states"]["Windows"]["licensed"]) == read["hours"] == 220 * 24


def test_csv_has_a_line_for_each_hour(result) -> None:
    file = io.StringIO()
    write_csv(result, file)
    lines = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(lines) == 220 * 24
    assert lines[0]["hour_ending"] == "2026-01-05T01:00Z"
    assert (lines[0]["licensed"], lines[0]["initial_grace"], lines[0]["requests kms"]) == ("1", "24", "25")
    assert lines[-1]["count kms Windows"] == "25"


def test_two_runs_stand_side_by_side(result) -> None:
    other = Fleet(scenario(days=220, machines=machines(count=24))).run()
    table = {heading: values for heading, *values in compared(result, other)}
    assert table["machines"] == ["25", "24"]
    assert table["never licensed"] == ["0", "24"]
    assert table["all licensed"] == ["day 0.08", "never"]


def test_the_page_needs_nothing_from_anywhere_and_text_cannot_break_it(result) -> None:
    text = page([result])
    assert not re.search(r"""(?:src|href)\s*=|https?://|@import|url\(""", text)
    assert "<b>&amp;" not in text
    assert "Away &lt;b&gt;&amp;amp; &quot;back&quot;" in text
    assert text.count("</script>") == 2
    assert len(text) < 200_000


#: What a reader's hand does: hides a series of the second chart, points at the first, drags across a tenth of it.
HANDS = """
const charts = document.querySelectorAll('.chart');
charts[1].querySelector('button').click();
const canvas = charts[0].querySelector('canvas');
canvas.setPointerCapture = () => {};
const box = canvas.getBoundingClientRect();
const send = (kind, share) => canvas.dispatchEvent(new PointerEvent(kind, {
  clientX: box.left + 64 + (box.width - 78) * share, clientY: box.top + 100, bubbles: true }));
send('pointerdown', 0.3);
send('pointermove', 0.4);
send('pointerup', 0.4);
send('pointermove', 0.5);
// The keyboard's hand, on the third: closer three times, a day to the right; then all again, and on paper.
const keys = charts[2].querySelector('canvas');
const press = (key, shiftKey = false) => keys.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey }));
press('+');
press('+');
press('+');
press('Home');
press('ArrowRight', true);
charts[2].dataset.closer = charts[2].dataset.drawn + (charts[2].querySelector('.whole').hidden ? '' : ' and whole');
charts[2].dataset.told = charts[2].querySelector('.tip b').textContent;
press('Escape');
charts[2].dataset.back = charts[2].querySelector('.whole').hidden;
const corner = () => getComputedStyle(document.body).color;
const onScreen = corner();
window.dispatchEvent(new Event('beforeprint'));
const onPaper = corner();
window.dispatchEvent(new Event('afterprint'));
document.body.dataset.ink = `${onScreen} / ${onPaper} / ${corner()}`;
"""


@pytest.mark.needs("chromium")
def test_the_charts_are_drawn_in_a_browser_without_an_error(result, tmp_path, program) -> None:
    page_file = tmp_path / "page.html"
    other = Fleet(scenario(days=60, machines=machines(count=24))).run()
    listener = "<script>window.addEventListener('error', (e) => document.title = 'ERROR ' + e.message)</script>"
    text = page([result, other]).replace("<meta charset", listener + "<meta charset", 1)
    page_file.write_text(text.replace("</body>", f"<script>{HANDS}</script></body>"))
    command = [
        program("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1240,1800",
        "--blink-settings=preferredColorScheme=0",
        "--dump-dom",
        page_file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    drawn = re.findall(r'data-chart="(\w+)" data-title="[^"]+" data-drawn="(\d+)"', done.stdout)
    assert [chart for chart, _ in drawn] == ["states", "requests", "counts"] * 2
    # The first was drawn over: a tenth of its 5,280 hours was left after the drag.
    assert 400 < int(drawn[0][1]) < 600
    assert all(int(columns) > 900 for _, columns in drawn[1:])
    assert re.search(r"<b>\w{3} 2026-\d\d-\d\d \d\d:00, day \d+</b>", done.stdout)
    assert re.search(r"licensed: \d+", done.stdout)
    assert done.stdout.count('<button aria-pressed="false" class="off">') == 1
    # An eighth of 5,280 hours, round the middle: the 2,310th is the first of them, and then a day later.
    assert 'data-closer="660 and whole" data-told="Sun 2026-04-12 06:00, day 97" data-back="true"' in done.stdout
    ink = re.findall(r'data-ink="(.*?)"', done.stdout)[0].split(" / ")
    assert ink == ["rgb(228, 233, 239)", "rgb(29, 39, 51)", "rgb(228, 233, 239)"]
    assert "<title>ERROR" not in done.stdout
    assert "CONSOLE" not in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        # 2026-01-03 is a Saturday.
        {"start": date(2026, 1, 3), "days": 2, "machines": machines(office_hours={})},
        {"days": 3, "machines": machines(office_hours={"days": ["sun"]})},
        {"days": 0.5, "machines": machines(office_hours={"opens": "13:00:00"})},
    ],
)
def test_a_run_in_which_no_machine_is_switched_on_is_all_zeros_and_says_so(changes) -> None:
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


def test_machines_that_are_never_on_are_told_beside_those_that_are() -> None:
    off = machines(name="OFF", count=3, office_hours={"days": ["sun"]})
    said = dict(rows(Fleet(scenario(days=3, machines=machines() + off)).run()))
    assert said["never switched on"] == "machines with 3 licences, in all this time"
    assert "never switched on" not in dict(rows(Fleet(scenario(days=3)).run()))


def test_machines_that_leave_in_the_hour_in_which_they_join_are_no_trouble() -> None:
    result = Fleet(scenario(days=2, machines=machines(leaves={"from_day": 0.01}))).run()
    said = dict(rows(result))
    assert "never switched on" not in said
    assert said["at the end"] == "no machine is there"
