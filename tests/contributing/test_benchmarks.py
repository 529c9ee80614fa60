"""Each benchmark runs when it is named, and other modules in the folder do not disturb."""

from __future__ import annotations

from pathlib import Path

import pytest

import benchmarks.__main__ as runner


@pytest.mark.parametrize("name", runner.find())
def test_a_benchmark_that_is_asked_for_runs(name: str) -> None:
    assert f"from benchmarks.{name} import main; main()" in runner.command(name)
    text = (Path(runner.__file__).parent / f"{name}.py").read_text()
    assert text.rstrip().endswith('if __name__ == "__main__":\n    main()'), "also by its own file"


def test_only_what_measures_is_run() -> None:
    assert "growth" in runner.find()
    assert "large_store" not in runner.find(), "a maker of stores, which has to be told where"
    assert runner.main(["nothing"]) == 2


def test_an_option_is_given_to_the_one_that_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["soak", "--help"]) == 0
    assert "--minutes" in capfd.readouterr().out
    assert runner.main(["soak", "growth", "--minutes", "1"]) == 2
    assert runner.main(["--minutes", "1"]) == 2
