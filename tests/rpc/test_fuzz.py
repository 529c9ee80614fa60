"""A short run of what `make fuzz` runs for long, always the same inputs; and the corpus, which must be current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"


@pytest.fixture(scope="module", autouse=True)
def fuzz_folder() -> Iterator[None]:
    sys.path.insert(0, str(FUZZ))
    yield
    sys.path.remove(str(FUZZ))


@pytest.mark.parametrize("target", ["server", "client", "codec", "events"])
def test_no_target_fails_on_its_seeds_and_some_thousand_mutations_of_them(target: str) -> None:
    import run
    import targets

    assert run.bounded({target: targets.TARGETS[target]}, inputs=6000, seed=1) > 6000


def test_the_corpus_is_what_our_encoders_make() -> None:
    import seeds

    committed = {
        str(path.relative_to(seeds.CORPUS)): path.read_bytes() for path in seeds.CORPUS.rglob("*") if path.is_file()
    }
    assert committed == seeds.corpus(), "run: python fuzz/seeds.py"


def test_the_random_driver_reports_an_input_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import run
    import targets

    def fails(data: bytes) -> None:
        raise AssertionError("found")

    monkeypatch.setitem(targets.TARGETS, "server", fails)
    monkeypatch.setattr(run, "FOUND", tmp_path)
    with pytest.raises(AssertionError, match="found"):
        run.run_random("server", 5, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["server-0"]
    assert "an input that fails was written" in capsys.readouterr().out
