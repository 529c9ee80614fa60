"""A host is stopped: one message comes, and another when it is back. With real processes and servers."""

from __future__ import annotations

from pathlib import Path

from tests.notify.receiving import MailServer, Webhook
from tests.ports import free_port
from tests.system.gateway_process import start_gateway, start_lab, upstream
from tests.system.running import BIN, run

SECRET = "hush-a-token"
QUICK = "[gateway.health]\ninterval = 1\nbackoff_first = 0.2\nbackoff_longest = 0.5\n"


def test_a_host_that_stops_is_one_message_and_its_return_another(tmp_path: Path) -> None:
    webhook, mail = Webhook(), MailServer()
    hook = f"json://127.0.0.1:{webhook.port}/{SECRET}"
    box = f"mailto://127.0.0.1:{mail.port}?from=kmstwist@corp.test&to=admin@corp.test"
    # Writing into an existing file leaves its mode unchanged.
    (tmp_path / "kmstwist.toml").touch(0o600)
    lab = start_lab(tmp_path, "lab")
    text = f'{upstream(lab.port, "kms1")}{QUICK}[notify]\nname = "gw"\nsettle = 5\ntargets = ["{hook}", "{box}"]\n'
    try:
        with start_gateway(tmp_path, text) as gateway:
            lab.stop()
            assert webhook.next()["title"].startswith("kmstwist at gw: no KMS host answers: kms1 is ")
            assert mail.next()[1]["Subject"].startswith("kmstwist at gw: no KMS host answers: kms1 is ")
            with start_lab(tmp_path, "lab", port=lab.port):
                over = webhook.next()
                assert over["title"].startswith("kmstwist at gw: resolved: no KMS host answers: kms1 is ")
                assert mail.next()[1]["Subject"].startswith("kmstwist at gw: resolved: no KMS host answers")
                gateway.wait_for(r"notified target=\"target 1", 2)
                gateway.wait_for(r"notified target=\"target 2", 2)
            gateway.stop()
            assert not [line for line in gateway.lines if SECRET in line]
        assert webhook.posted.empty()
    finally:
        lab.kill()
        webhook.close()
        mail.close()


def test_an_unusable_target_is_one_sentence_before_the_start(tmp_path: Path) -> None:
    path = tmp_path / "kmstwist.toml"
    path.touch(0o600)
    path.write_text(f'[notify]\ntargets = ["nonsense://{SECRET}"]\n')
    command = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--config={path}", f"--port={free_port()}"]
    told = run([*command, f"--state-dir={tmp_path / 'state'}"], cwd=tmp_path)
    assert told.returncode == 1
    assert "[notify] targets: number 1 (nonsense://***)" in told.stderr
    assert SECRET not in told.stdout + told.stderr


def test_with_workers_the_supervisor_reports_and_only_once(tmp_path: Path) -> None:
    webhook = Webhook()
    (tmp_path / "kmstwist.toml").touch(0o600)
    lab = start_lab(tmp_path, "lab")
    told = f'[notify]\nname = "gw"\nsettle = 5\ntargets = ["json://127.0.0.1:{webhook.port}/{SECRET}"]\n'
    text = f"[server]\nworkers = 2\n{upstream(lab.port, 'kms1')}{QUICK}{told}"
    try:
        with start_gateway(tmp_path, text) as gateway:
            lab.stop()
            # On a busy machine workers may take so long to start that they are missed.
            title = ""
            while not title.startswith("kmstwist at gw: no KMS host answers: kms1 is "):
                title = webhook.next()["title"]
            gateway.wait_for(r"notified target=\"target 1")
            gateway.stop()
        assert not [line for line in gateway.lines if " notified " in line and title in line][1:]
    finally:
        lab.kill()
        webhook.close()
