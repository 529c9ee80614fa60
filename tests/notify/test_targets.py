"""Targets get messages over real SMTP and HTTP; the secret parts of their URLs are never shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmstwist.notify.messages import Text
from kmstwist.notify.targets import NotSent, TargetError, make_targets
from tests.notify.receiving import MailServer, Webhook
from tests.ports import free_port
from tests.system.running import kmstwist

TEXT = Text("kmstwist at gw: kms1 is down", "kms1 is down (connection refused)\nWhat to do: kmstwist doctor", "failure")
SECRET = "hush-a-token"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


def json_url(port: int) -> str:
    return f"json://{SECRET}:{SECRET}-word@127.0.0.1:{port}/hook/{SECRET}-path"


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?from=kmstwist@corp.test&to=admin@corp.test"


def test_a_webhook_gets_the_title_and_the_text(webhook: Webhook) -> None:
    (target,) = make_targets([json_url(webhook.port)])
    target.send(TEXT)
    got = webhook.next()
    assert (got["title"], got["message"], got["type"]) == (TEXT.title, TEXT.body, "failure")


def test_a_mailbox_gets_the_title_and_the_text(mail: MailServer) -> None:
    (target,) = make_targets([mail_url(mail.port)])
    target.send(TEXT)
    recipients, message = mail.next()
    assert recipients == ["admin@corp.test"]
    assert message["Subject"] == TEXT.title
    assert "kms1 is down (connection refused)" in message.get_body(("plain", "html")).get_content()


def test_a_refused_message_is_not_sent_and_says_why_without_the_url(webhook: Webhook) -> None:
    webhook.status = 403
    (target,) = make_targets([json_url(webhook.port)])
    with pytest.raises(NotSent) as refused:
        target.send(TEXT)
    assert "403" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(target)
    assert target.name == "target 1 (json)"


@pytest.mark.parametrize("make", [json_url, mail_url])
def test_without_a_listener_the_message_is_not_sent(make: object) -> None:
    assert callable(make)
    (target,) = make_targets([make(free_port())])
    with pytest.raises(NotSent) as refused:
        target.send(TEXT)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}/x", f"tgram://{SECRET}", f"slack://{SECRET}"])
def test_an_unusable_url_is_reported_by_its_number(url: str) -> None:
    with pytest.raises(TargetError) as wrong:
        make_targets(["json://127.0.0.1", url])
    assert "number 2" in str(wrong.value)
    assert SECRET not in str(wrong.value)


def test_two_targets_have_two_stable_ids() -> None:
    urls = ["json://127.0.0.1/a", "json://127.0.0.1/b"]
    first, second = make_targets(urls)
    assert first.id != second.id
    assert [each.id for each in make_targets(reversed(urls))] == [second.id, first.id]  # type: ignore[arg-type]


def test_without_the_package_the_message_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['apprise'] = None\n"
        "from kmstwist.notify.targets import make_targets, TargetError\n"
        "try: make_targets(['json://x'])\n"
        "except TargetError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'apprise" in said


def configuration(folder: Path, *urls: str) -> Path:
    path = folder / "kmstwist.toml"
    path.write_text(f"[notify]\nname = 'gw'\ntargets = {list(urls)!r}\n")
    path.chmod(0o600)
    return path


def test_the_command_tries_every_target(tmp_path: Path, webhook: Webhook, mail: MailServer) -> None:
    path = configuration(tmp_path, json_url(free_port()), mail_url(mail.port), json_url(webhook.port))
    told = kmstwist("notify", "test", "--config", str(path))
    assert told.returncode == 1
    assert [line.partition(":")[0] for line in told.stdout.splitlines()] == [
        "target 1 (json)",
        "target 2 (mailto)",
        "target 3 (json)",
    ]
    assert told.stdout.count(": sent") == 2
    assert SECRET not in told.stdout + told.stderr
    assert webhook.next()["title"] == "kmstwist at gw: a test"
    assert mail.next()[1]["Subject"] == "kmstwist at gw: a test"
    path = configuration(tmp_path, json_url(webhook.port))
    assert kmstwist("notify", "test", "--config", str(path)).returncode == 0


def test_the_command_says_so_if_no_target_is_configured(tmp_path: Path) -> None:
    told = kmstwist("notify", "test", "--config", str(configuration(tmp_path)))
    assert (told.returncode, "names no targets" in told.stderr) == (1, True)


def test_no_secret_is_shown_by_the_commands_about_the_configuration(tmp_path: Path) -> None:
    path = configuration(tmp_path, json_url(1))
    shown = kmstwist("config", "show", "--config", str(path))
    assert 'targets = ["json://***"]' in shown.stdout
    assert kmstwist("config", "check", str(path)).returncode == 0
    for wrong in (f"'{json_url(1)}'", f"['{SECRET}']", f"{{ a = '{json_url(1)}' }}", f"[['{json_url(1)}']]"):
        path.write_text(f"[notify]\ntargets = {wrong}\n")
        for told in (kmstwist("config", "check", str(path)), kmstwist("notify", "test", "--config", str(path))):
            assert (told.returncode, "notify.targets" in told.stderr) == (1, True), told
            assert SECRET not in told.stdout + told.stderr


def test_a_file_with_targets_must_not_be_open_to_others(tmp_path: Path) -> None:
    path = configuration(tmp_path, json_url(1))
    path.chmod(0o644)
    told = kmstwist("config", "check", str(path))
    assert (told.returncode, f"chmod 0640 {path}" in told.stderr) == (1, True)
    assert SECRET not in told.stderr
