"""`kmstwist serve` is `twistd -n kms`, and for a misspelt word it suggests the right one."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from kmstwist.configuration.options import OPTIONS
from kmstwist.configuration.reading import Override, load
from tests.ports import free_port
from tests.system.running import BIN, kmstwist, run
from tests.waiting import PATIENCE


def test_it_serves_with_the_plugin_s_options_and_ends_in_order(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [str(BIN / "kmstwist"), "serve", f"--listen=127.0.0.1:{port}", f"--state-dir={tmp_path}/state"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        said = next(line for line in lines if " listening " in line)
        assert f" info listening address=127.0.0.1:{port} protocols=IPv4" in said
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert command[1:5] == [str(BIN / "twistd").encode(), b"--nodaemon", b"--pidfile=", b"kms"]
        assert kmstwist("probe", f"127.0.0.1:{port}").returncode == 0
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0
        assert "critical" not in rest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_its_help_lists_all_options_of_the_plugin() -> None:
    told = kmstwist("serve", "--help").stdout
    assert told.startswith("Usage: kmstwist serve [options]")
    assert [one.name for one in OPTIONS if f"--{one.name}" not in told] == []


def test_a_mistyped_option_of_the_plugin_suggests_the_right_one() -> None:
    for called, words in (("kmstwist serve", ["kmstwist", "serve"]), ("twistd kms", ["twistd", "-n", "kms"])):
        result = run([str(BIN / words[0]), *words[1:], "--usptream", "kms1"])
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            f"{called}: there is no option --usptream; did you mean --upstream? ({called} --help lists the options)\n"
        )
    assert "is an option of twistd itself and goes before kms" in kmstwist("serve", "--logfile=x").stderr
    assert "kmstwist serve: there is more than the command takes: extra" in kmstwist("serve", "extra").stderr


def test_an_address_with_its_port_is_as_good_as_an_endpoint(tmp_path: Path) -> None:
    def listen(text: str) -> tuple[str, ...]:
        return load(None, [Override(("server", "listen"), [text], "--listen")]).config.server.listen

    assert listen("10.0.0.1:1688") == ("tcp:1688:interface=10.0.0.1",)
    assert listen("[2001:db8::1]:1688") == ("tcp6:1688:interface=2001\\:db8\\:\\:1",)
    assert listen("tcp:1688") == ("tcp:1688",)
    assert listen("tcp6:1688:interface=\\:\\:1") == ("tcp6:1688:interface=\\:\\:1",)
