"""Types a page's commands, in order, on a machine of its own: `python -m tests.docs.play PAGE FOLDER`.

The machine is this one in namespaces of its own: no network but loopback, so every port is free; /etc a copy;
/var/lib, /var/log, /var/backups and /run empty. What would change a real machine (packages, units) is named in
`tests.docs.stages` with the reason, and is not typed.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.docs.page import ROOT, Step, differs, pattern, same_ids, steps, text_of
from tests.docs.stages import NOT_TYPED, STAGES, Stage
from tests.waiting import PATIENCE

BIN = Path(sys.executable).parent
_SERVERS = re.compile(r"make run|twistd -n |kmstwist serve")
_FOLLOWS = re.compile(r"kmstwist log .*-f|kmstwist log -f|journalctl .*-f")
_END = "__the end of a command__"


def machine(folder: Path) -> None:
    """Make the machine."""
    for command in (["ip", "link", "set", "lo", "up"], ["mount", "--make-rprivate", "/"]):
        subprocess.run(command, check=True)
    for place in ("/var/lib", "/var/log", "/var/backups", "/run"):
        if Path(place).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    # The site's KMS hosts are on another machine: 10.0.0.11, and 10.0.0.12 where nobody answers.
    Path("/run/netns").mkdir(parents=True, exist_ok=True)
    for words in (
        "netns add hosts",
        "link add to-hosts type veth peer name eth0 netns hosts",
        "address add 10.0.0.1/24 dev to-hosts",
        "link set to-hosts up",
        "-n hosts link set lo up",
        "-n hosts address add 10.0.0.11/24 dev eth0",
        "-n hosts address add 10.0.0.12/24 dev eth0",
        "-n hosts link set eth0 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    etc = folder / "etc"
    subprocess.run(["cp", "-a", "/etc", str(etc)], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "--bind", str(etc), "/etc"], check=True)
    (etc / "kmstwist").mkdir(exist_ok=True)


class Terminal:
    """A shell that takes commands one after the other."""

    def __init__(self, folder: Path, path: list[str]) -> None:
        self._folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([*path, os.environ["PATH"], "/usr/sbin", "/sbin"]),
            "COLUMNS": "120",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            env=self.environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._servers: list[subprocess.Popen[bytes]] = []

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line.rstrip("\n"))

    def type(self, command: str) -> tuple[int, list[str]]:
        """Type a command and wait for its end: its exit status, and what it printed."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{_END} %s\\n' $?\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        while True:
            line = self._lines.get(timeout=PATIENCE)
            if line.startswith(_END):
                return int(line.split()[-1]), printed
            printed.append(self.as_shown(line))

    def as_shown(self, line: str) -> str:
        """A line with the folders as the pages name them."""
        return line.replace(str(self.home), "/home/ops")

    def serve(self, command: str, shown: list[str], cwd: Path | None = None, path: str | None = None) -> list[str]:
        """Start a long-running command in another terminal, and wait for the output that the page shows."""
        log = self._folder / f"server-{len(self._servers)}.log"
        environment = self.environment if path is None else {**self.environment, "PATH": path}
        with log.open("w") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=cwd or self.home, env=environment, stdout=output,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._servers.append(server)
        wanted = [pattern(line) for line in shown if line.strip()] or ["listening"]
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and server.poll() is None:
            printed = log.read_text().splitlines()
            ends = [number for number, line in enumerate(printed, 1) if wanted[-1] in pattern(line)]
            if ends:
                return printed[: ends[0]]
            time.sleep(0.1)
        return log.read_text().splitlines()

    def wait_for(self, log: Path) -> None:
        """Wait until a daemon has said in its log that it listens."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not (log.exists() and " listening " in log.read_text()):
            time.sleep(0.1)

    def close(self) -> None:
        """Stop everything that was started."""
        for server in reversed(self._servers):
            with suppress(ProcessLookupError):
                server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE)
        for file in Path("/run").glob("*.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        self._shell.kill()
        self._shell.wait(PATIENCE)


def play(page: str, folder: Path) -> list[str]:
    """Type the page's commands. Returns where the results differ from the page."""
    stage = STAGES.get(page, Stage())
    if stage.skip is not None:
        return []
    machine(folder)
    tools = folder / "tools"
    tools.mkdir()
    for name, script in stage.tools.items():
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    terminal = Terminal(folder, [str(tools), str(BIN)])
    faults = []
    try:
        for line in stage.hosts:
            with Path("/etc/hosts").open("a") as file:
                file.write(line + "\n")
        for name, content in stage.files.items():
            path = Path(name) if name.startswith("/") else terminal.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, path)
            else:
                path.write_text(content)
        for command in stage.before:
            if "twistd -n" in command:
                terminal.serve(command, [])
            else:
                status, printed = terminal.type(command)
                if status:
                    faults.append(f"{page}: before it: {command}: {status}, {printed}")
        known: dict[str, str] = {}
        for step in steps(text_of(page)):
            for there, here in known.items():
                step.command = step.command.replace(there, here)
            fault = _step(step, stage, terminal, known)
            if fault:
                faults.append(f"{page}.md:{step.line}: {step.command}: {fault}")
    finally:
        terminal.close()
    return faults


def _step(step: Step, stage: Stage, terminal: Terminal, known: dict[str, str]) -> str:
    if step.kind == "toml":
        if stage.toml is not None and step.number <= stage.toml_blocks:
            text = step.command
            for found, put in stage.instead.items():
                text = text.replace(found, put)
            Path(stage.toml).write_text(text + "\n")
        return ""
    command = step.command
    if any(re.search(there, command) for there in (*NOT_TYPED, *stage.not_typed)):
        return ""
    shown = step.shown
    for found, put in stage.instead.items():
        command = command.replace(found, put)
        shown = [line.replace(found, put) for line in shown]
    if any(re.search(there, command) for there in stage.own_output):
        shown = []
    for there, before in stage.first.items():
        if re.search(there, command):
            terminal.type(before)
    if command.startswith("make run"):
        # A reader has not activated the environment yet; whoever runs this may have.
        on_path = map(Path, os.environ["PATH"].split(os.pathsep))
        others = [str(folder) for folder in on_path if folder.absolute() != BIN.absolute()]
        where = os.pathsep.join([*others, "/usr/sbin"])
        venv = os.path.relpath(BIN.parent, ROOT)
        printed = terminal.serve(f"{command} VENV={venv} --old-file={venv}/.installed", shown, ROOT, where)
        shown = [line.replace(".venv/bin/", f"{venv}/bin/") for line in shown]
        # A page's reader is an ordinary user; here the commands are typed by root in a namespace.
        return differs(shown, [line for line in printed if " warn as-root " not in line])
    if _SERVERS.match(command):
        return differs(shown, terminal.serve(command, shown)) if shown else _listens(
            terminal.serve(command, [])
        )  # fmt: skip
    if _FOLLOWS.match(command):
        printed = terminal.serve(command, shown or ["conversation"])
        return differs(shown, printed) if shown else ""
    status, printed = terminal.type(command)
    if daemon := re.search(r"twistd .*--logfile=(\S+)", command):
        terminal.wait_for(Path(daemon.group(1)))
    known.update(same_ids(shown, printed))
    if shown and (fault := differs(shown, printed)):
        return fault
    if status and not shown and not any(re.search(there, step.command) for there in stage.may_fail):
        return f"exit status {status}: {printed}"
    return ""


def _listens(printed: list[str]) -> str:
    return "" if any(" listening " in line for line in printed) else f"does not listen: {printed}"


if __name__ == "__main__":
    found = play(sys.argv[1], Path(sys.argv[2]))
    print("\n".join(found))
    sys.exit(bool(found))
