from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kmstwist.cli.lab.lab import lab


def run(*words: str) -> Result:
    result = CliRunner().invoke(lab, ["fleet", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_a_run_is_summed_up_and_written_in_every_form(tmp_path: Path) -> None:
    files = [tmp_path / f"out.{kind}" for kind in ("json", "csv", "html")]
    options = [
        word for kind, file in zip(("--json", "--csv", "--html"), files, strict=True) for word in (kind, str(file))
    ]
    result = run("run", "--scenario", "branch-of-24", *options)
    assert result.exit_code == 0
    assert "27 with 27 licences, 60 days" in result.output
    assert json.loads(files[0].read_text())["scenario"] == "24 new machines in a branch"
    assert files[1].read_text().startswith("hour_ending,licensed")
    assert files[2].read_text().startswith("<!doctype html>")


def test_two_scenarios_are_compared(tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    result = run("compare", "branch-of-24", "two-hosts-split-the-count", "--html", str(page))
    assert result.exit_code == 0
    assert "licensed at the end" in result.output
    assert page.read_text().count('data-chart="states"') == 2


def test_a_name_is_printed_as_it_is_and_never_read_as_markup(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    ready = run("scenarios", "branch-of-24").output
    own.write_text(ready.replace('name = "24 new machines in a branch"', 'name = "[/] a [red]branch"'))
    assert "[/] a [red]branch (seed 1)" in run("run", "--scenario", str(own)).output
    assert run("compare", str(own), str(own)).exit_code == 0


def test_ready_scenarios_are_listed_and_printed() -> None:
    assert "host-away-7-months" in run("scenarios").output
    assert 'name = "A cloned image"' in run("scenarios", "cloned-image").output
    assert "there is no ready scenario" in run("scenarios", "nothing").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--scenario", "nowhere.toml"], "there is no such file"),
        (["compare", "branch-of-24", "nowhere.toml"], "there is no such file"),
        (["run", "--scenario", "branch-of-24", "--json", "/nowhere/out.json"], "there is no folder /nowhere"),
        (["compare", "branch-of-24", "cloned-image", "--html", "/nowhere/out.html"], "cannot be written"),
        (["run", "--scenario", "branch-of-24", "--wire", "--wire-seconds", "nan"], "nan is not a number"),
    ],
)
def test_an_impossible_command_gets_a_sentence_before_anything_runs(words: list[str], said: str) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert said in result.output
    assert "all licensed" not in result.output


def test_the_seed_and_the_number_of_machines_can_be_chosen() -> None:
    output = run("run", "--scenario", "host-away-3-weeks", "--machines", "50", "--seed", "7").output
    assert "(seed 7)" in output
    assert "50 with 95 licences" in output
