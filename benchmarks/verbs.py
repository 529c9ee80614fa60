"""Processor time of each verb of the command that asks nothing over the network, from its start to its end.

    python -m benchmarks.verbs --times 10 --records 100000 --beside ../other/.venv/bin/python

Every verb's `--help`, found in the command's own tree, and real runs of those that only read files: on an audit store
that is empty, one of 200 records, and one of `--records`. Each figure is the median of some runs, all verbs in turn and
with `--beside` alternately with another installation, so that what disturbs the machine disturbs both. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarks.events_import import write_log
from benchmarks.harness import machine
from benchmarks.large_store import Size, fill
from kmstwist.audit.plain.start_check import is_ready
from kmstwist.audit.privacy import load_salt
from kmstwist.audit.reports.subjects import SUMMARIES
from kmstwist.cli.reference import contexts
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey

#: Seconds that a verb may take.
GOAL = 0.2
_RUN = "import sys; sys.argv[0] = 'kmstwist'; from kmstwist.cli.main import main; main()"
#: Verbs that read no store.
_STORELESS = (
    "--version",
    "completion bash",
    "config check {folder}/kmstwist.toml",
    "config show",
    "config where",
    "dns show --domain corp.example --host kms.corp.example --port 1688",
    "errors 0xC004F074",
    "keys windows",
    "log {folder}/kmstwist.log",
    "report",
    "setup-client --product win11pro --host kms.corp.example",
    "lab fleet scenarios",
    "lab fleet scenarios cloned-image",
    "lab fleet scenarios cloned-image --json",
    "lab hostkey --state-dir {folder}",
    "lab machine list --state-dir {folder}",
    "lab machine show PC1 --state-dir {folder}",
    "lab machine registry PC1 --state-dir {folder}",
    # These change a machine, which is not the one that the others show.
    "lab machine age PC2 1 --state-dir {folder}",
    "lab machine generalize PC2 --state-dir {folder}",
    "lab machine trouble PC2 not-genuine --state-dir {folder}",
    "lab slmgr PC1 /dlv --state-dir {folder}",
    "lab machine clone PC1 COPY{run} --state-dir {folder}",
    "lab machine delete GOES{run} --state-dir {folder}",
    "lab confirm {number} --state-dir {folder}",
    "lab shim {folder}/programs{run} --machine PC1 --state-dir {folder}",
    "lab ospp PC1 /dstatus --state-dir {folder}",
    "lab events PC1 --state-dir {folder}",
)
#: Verbs that read the audit's store.
_OF_A_STORE = (
    *(f"report {name}" for name in SUMMARIES),
    *(f"report {name} --format json" for name in ("clients", "failures", "count")),
    "products list",
    "audit verify",
    "audit salt show",
    "audit salt export {folder}/exported-{store}{run} --salt-file {folder}/audit.salt",
    "audit salt import {folder}/exported --salt-file {folder}/imported-{store}{run}",
    "audit vacuum",
    "audit vacuum --full",
    # Older than every record: what a limit loads and looks at, and nothing that goes.
    "audit vacuum --older-than 9999d",
    "audit forget NOBODY --yes",
    "events import --no-dns {folder}/events.xml",
    "products import {folder}/products.txt",
)
#: Verbs that end with 1 because there is nothing to do.
_FINDS_NOTHING = ("audit forget NOBODY",)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--times", type=int, default=3, help="runs of each verb; 3 by default")
    arguments.add_argument("--records", type=int, default=100_000, help="records of the large store")
    arguments.add_argument("--beside", metavar="PYTHON", help="the interpreter of another installation, in turn")
    arguments.add_argument("--only", default="", help="only verbs with this text in them")
    chosen = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kmstwist-verbs-"))
    try:
        pythons = [python for python in (chosen.beside, sys.executable) if python]
        _prepare(folder, chosen.records)
        commands = [each for each in _commands(folder) if chosen.only in each[0]]
        _print(commands, _measured(folder, commands, pythons, chosen.times))
    finally:
        shutil.rmtree(folder)


def _prepare(folder: Path, records: int) -> None:
    is_ready(folder / "empty.sqlite", make=True)
    fill(folder / "small.sqlite", Size(records=200, machines=50, networks=5, products=4, hosts=2))
    fill(folder / "large.sqlite", Size(records=records, machines=max(1, records // 5)))
    (folder / "kmstwist.toml").write_text("[server]\nport = 1688\n")
    (folder / "kmstwist.log").write_text("2025-01-01T00:00:00+0000 [-] nothing\n" * 100)
    LabKey.load_or_create(folder / KEY_FILE_NAME, os.urandom)
    for name in ("PC1", "PC2"):
        _seconds(folder, sys.executable, f"lab machine new {name} --product ProPlus2021Volume --state-dir {folder}")
    # The installation id, which stands behind a colon.
    told = _told(folder, f"lab ospp PC1 /dinstid --state-dir {folder}")
    (folder / "number").write_text(next(line for line in told.splitlines() if "edition: " in line).split()[-1])
    load_salt(folder / "audit.salt")
    _told(folder, f"audit salt export {folder}/exported --salt-file {folder}/audit.salt --store {folder}/empty.sqlite")
    write_log(folder / "events.xml", 20)
    (folder / "products.txt").write_text(_told(folder, f"lab slmgr PC1 /dlv all --state-dir {folder}"))


def _told(folder: Path, words: str) -> str:
    """What a verb prints."""
    command = [sys.executable, "-c", _RUN, *words.split()]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


def _commands(folder: Path) -> Iterator[tuple[str, str]]:
    """What each verb is called in the table, and its words."""
    number = (folder / "number").read_text()
    for context in contexts():
        words = context.command_path.partition(" ")[2]
        yield f"{words} --help".strip(), f"{words} --help"
    for words in _STORELESS:
        yield words.format(folder="FOLDER", run="", number="ID"), words.replace("{number}", number)
    for words in _OF_A_STORE:
        for store in ("empty", "small", "large"):
            named = words.replace("{folder}", "FOLDER").replace("-{store}{run}", "")
            yield f"{named} ({store})", f"{words.replace('{store}', store)} --store {folder}/{store}.sqlite"
    for store in ("empty", "small", "large"):
        # The copies are made at the same time, and each has a name of its own.
        target = f"{{folder}}/copy-{store}{{run}}.sqlite"
        yield f"audit backup COPY ({store})", f"audit backup {target} --store {folder}/{store}.sqlite"


def _measured(
    folder: Path, commands: Sequence[tuple[str, str]], pythons: Sequence[str], times: int
) -> dict[str, list[float]]:
    """The medians of each verb, one for each installation."""
    took: dict[str, list[list[float]]] = {name: [[] for _ in pythons] for name, _ in commands}

    def measure(run: int, name: str, words: str) -> None:
        for at, python in enumerate(pythons):
            seconds = _seconds(folder, python, words.replace("{run}", f"{run}-{at}"))
            # The first one compiles the modules, and reads them from the disk.
            if run:
                took[name][at].append(seconds)

    # A verb on each core: what is measured is processor time.
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        for run in range(times + 1):
            for at in range(len(pythons)):
                _seconds(folder, sys.executable, f"lab machine clone PC1 GOES{run}-{at} --state-dir {folder}")
            for each in [cores.submit(measure, run, name, words) for name, words in commands]:
                each.result()
            for copy in folder.glob("copy*"):
                copy.unlink()
    return {name: [median(each) for each in runs] for name, runs in took.items()}


def _seconds(folder: Path, python: str, words: str) -> float:
    """The processor time of a run. Raises RuntimeError if the verb fails: that it does so quickly says nothing."""
    run = subprocess.Popen(
        [python, "-c", _RUN, *words.replace("{folder}", str(folder)).split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Of another installation, its own package is meant, and not the one in the working folder.
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder)},
    )
    assert run.stderr is not None
    said = run.stderr.read().decode()
    run.stderr.close()
    _, status, used = os.wait4(run.pid, 0)
    if status and not words.startswith(_FINDS_NOTHING):
        raise RuntimeError(f"kmstwist {words} failed: {said}")
    return used.ru_utime + used.ru_stime


def _print(commands: Sequence[tuple[str, str]], took: dict[str, list[float]]) -> None:
    several = len(next(iter(took.values()))) > 1
    print(f"{machine()}. Processor seconds; more than {GOAL} in bold.\n")
    print("| verb | beside | here |\n| --- | ---: | ---: |" if several else "| verb | s |\n| --- | ---: |")
    for name, _ in commands:
        figures = " | ".join(f"**{each:.3f}**" if each > GOAL else f"{each:.3f}" for each in took[name])
        print(f"| `{name}` | {figures} |")


if __name__ == "__main__":
    main()
