"""The files for a KMS host: the task runs the script with options that exist, and its output can be read.

The script itself needs Windows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from kmstwist.audit.events.model import RawEvent
from kmstwist.audit.events.reading.files import read_events
from kmstwist.audit.events.reading.times import Times
from kmstwist.audit.events.watch_folder import SUFFIXES
from kmstwist.collecting.framing import Frames
from kmstwist.collecting.message import read_message
from tests.audit.exports import request

WINDOWS = Path(__file__).parents[2] / "etc" / "windows"
SCRIPT = (WINDOWS / "Send-KmsEvents.ps1").read_bytes()
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
NOW = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
SAMPLES = [request(number, datetime(2026, 10, 5, 8, number, tzinfo=UTC), f"pc{number}") for number in (1, 2)]


def test_windows_powershell_reads_the_script_whatever_its_code_page() -> None:
    assert SCRIPT.isascii()


def test_the_task_runs_the_script_with_options_that_it_has() -> None:
    task = ElementTree.parse(WINDOWS / "kmstwist-events.xml").getroot()
    arguments = task.findtext(f"{TASK}Actions/{TASK}Exec/{TASK}Arguments") or ""
    file, options = arguments.split(" -File ")[1].rsplit('"', 1)
    assert file.rpartition("\\")[2] == "Send-KmsEvents.ps1"
    known = set(re.findall(r"\[(?:string|int|switch)\] \$(\w+)", SCRIPT.decode()))
    assert set(re.findall(r"-(\w+)(?= )", options)) <= known
    assert task.findtext(f"{TASK}Triggers/{TASK}TimeTrigger/{TASK}Repetition/{TASK}Interval") == "PT1H"


def test_the_page_names_options_that_the_script_has() -> None:
    page = (WINDOWS.parents[1] / "docs" / "windows-events.md").read_text()
    known = set(re.findall(r"\[(?:string|int|switch)\] \$(\w+)", SCRIPT.decode())) | {"Verbose"}
    told = {"-Folder", "-Server", "-Port", "-Tls", "-Verbose"}
    assert all(option in page for option in told)
    assert {option[1:] for option in told} <= known


def test_the_watch_finds_and_reads_a_file_that_it_writes(tmp_path: Path) -> None:
    # As `Write-Folder` writes it.
    path = tmp_path / "KMS1-2.xml"
    path.write_bytes("\r\n".join(["<Events>", *(sample.xml for sample in SAMPLES), "</Events>", ""]).encode())
    assert path.suffix in SUFFIXES
    assert ".part" not in SUFFIXES
    events = list(read_events(path, now=NOW))
    assert [event.record_id for event in events if isinstance(event, RawEvent)] == [1, 2]


def test_what_it_sends_is_accepted() -> None:
    # As `Send-Server` sends it.
    frames = Frames().feed("".join(f"{sample.xml}\n" for sample in SAMPLES).encode())
    events = [read_message(frame, "KMS1", Times(UTC, NOW)) for frame in frames]
    assert [event.record_id for event in events if isinstance(event, RawEvent)] == [1, 2]
