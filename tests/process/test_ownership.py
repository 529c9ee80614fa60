"""A state folder is one lab's and one gateway's at a time."""

from __future__ import annotations

from pathlib import Path

from tests.ports import free_port
from tests.system.running import BIN, Server, run


def test_a_second_server_on_a_state_folder_names_the_first(tmp_path: Path) -> None:
    with Server(tmp_path / "state") as lab:
        twistd = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--state-dir={lab.state_dir}"]
        # At the same port, too: no other program has it.
        second = run([*twistd, f"--port={lab.port}"], cwd=tmp_path)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            f"kmstwist: the state folder {lab.state_dir} is in use by another lab, process {lab.process.pid} at port "
            f"{lab.port}; stop it, or give this one a --state-dir of its own\n"
        )
        with Server(lab.state_dir, f"--upstream=127.0.0.1:{lab.port}") as gateway:
            second = run([*twistd, f"--port={free_port()}", "--upstream=kms1.corp.test"], cwd=tmp_path)
            assert f"another gateway, process {gateway.process.pid} at port {gateway.port};" in second.stderr
            workers = run([*twistd, f"--port={free_port()}", "--upstream=kms1.corp.test", "--workers=2"], cwd=tmp_path)
            assert f"another gateway, process {gateway.process.pid} at port {gateway.port};" in workers.stderr
        lab.kill()
        with Server(lab.state_dir):
            pass
