"""A fleet against real server processes: a host, a gateway in front of it, and the host's end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from click.testing import CliRunner

from kmstwist.cli.lab.lab import lab as lab_command
from tests.system.running import kmstwist, run

SCENARIO = """
name = "wire"
days = 21
[[host]]
name = "kms"
outages = [{ from_day = 6.5, days = 30 }]
[[gateway]]
name = "gw"
upstreams = ["kms"]
[[site]]
name = "near"
srv = [{ host = "kms" }]
[[site]]
name = "far"
srv = [{ host = "gw" }]
[[machines]]
name = "N"
site = "near"
count = 20
products = ["Windows Server 2022 Standard"]
[[machines]]
name = "F"
site = "far"
count = 10
products = ["Windows Server 2022 Standard"]
joins = { from_day = 1 }
[[machines]]
name = "C"
site = "near"
count = 3
products = ["Office LTSC Professional Plus 2021"]
cloned = true
generalise_on_day = 2
[[machines]]
name = "D"
site = "near"
count = 3
products = ["Office LTSC Professional Plus 2021"]
"""


def test_the_fleet_activates_and_outlives_its_host(tmp_path: Path) -> None:
    scenario, out = tmp_path / "wire.toml", tmp_path / "out.json"
    scenario.write_text(SCENARIO)
    command = ("lab", "fleet", "run", "--scenario", str(scenario), "--wire", "--wire-seconds", "20")
    done = kmstwist(*command, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "upstream-refused" in done.stdout
    result = json.loads(out.read_text())
    assert result["at_end"]["licensed"] == 36
    assert result["never_licensed"] == 0
    assert result["unanswered_attempts"] > 0
    requests = result["hourly"]["requests"]
    assert sum(requests["gw"]) >= 10
    assert set(result["outcomes"]) <= {"0x00000000", "0xC004F038", "0xC004F074"}


APART = """
name = "apart"
days = 2
[[host]]
name = "right"
[[host]]
name = "wrong"
clock_error_minutes = 300
[[site]]
name = "here"
srv = [{ host = "right" }]
[[site]]
name = "with-the-wrong-one"
srv = [{ host = "wrong" }]
[[site]]
name = "far"
srv = [{ host = "right" }]
round_trip_seconds = 0.5
[[machines]]
name = "N"
site = "here"
count = 5
products = ["Windows Server 2022 Standard"]
[[machines]]
name = "W"
site = "with-the-wrong-one"
count = 2
products = ["Windows Server 2022 Standard"]
[[machines]]
name = "AHEAD-TOO"
site = "with-the-wrong-one"
count = 5
products = ["Windows Server 2022 Standard"]
clock_error = { minutes = 300 }
[[machines]]
name = "F"
site = "far"
count = 2
products = ["Windows Server 2022 Standard"]
joins = { from_day = 0.5 }
"""


def test_wrong_clocks_and_slow_links_are_played(tmp_path: Path) -> None:
    scenario, out = tmp_path / "apart.toml", tmp_path / "out.json"
    scenario.write_text(APART)
    done = kmstwist(
        "lab", "fleet", "run", "--scenario", str(scenario), "--wire", "--wire-seconds", "12", "--json", str(out)
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    # Two machines with right clocks ask the host whose clock is wrong; all others agree with their host's clock.
    assert result["never_licensed"] == 2
    assert result["at_end"]["licensed"] == 12
    assert result["outcomes"]["0xC004F06C"] > 2


def test_a_server_process_comes_and_goes_and_comes_again_at_its_own_port(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from kmstwist.cli.common import run_reactor
from kmstwist.lab.fleet.processes import processes_of
from kmstwist.lab.fleet.scenario import parse
import tomllib

async def main(reactor):
    scenario = parse(tomllib.loads({SCENARIO!r}), "wire")
    kms = processes_of(scenario, reactor, Path({str(tmp_path)!r}), bytes(32))["kms"]
    await kms.start()
    assert kms.runs
    ending = kms.stop()
    # Ordered while it is still ending: it is started when it has ended.
    await kms.start()
    assert kms.runs and ending.called
    await kms.stop()
    assert not kms.runs
    await kms.stop()

run_reactor(main)
print("done")
"""
    done = run([sys.executable, "-c", code])
    assert done.stdout == "done\n", done.stderr


def test_more_machines_than_the_wire_can_play_are_refused() -> None:
    result = CliRunner().invoke(
        lab_command, ["fleet", "run", "--scenario", "monday-morning", "--wire", "--machines", "5001"]
    )
    assert result.exit_code == 1
    assert "at most 5,000 machines" in result.output
