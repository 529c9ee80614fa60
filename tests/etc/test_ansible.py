"""The roles, linted and run: they never change what is already right, on a lab machine and in a configuration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmstwist.configuration.reading import load
from kmstwist.kms.catalogue import find
from tests.etc.conftest import ETC
from tests.system.running import BIN, Server, kmstwist

FOLDER = ETC / "ansible"
PROGRAMS = Path(sys.executable).parent
WINDOWS = "Windows 11 / 10 Enterprise"


def ansible(program: str, *words: object, home: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in a home of its own."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_ROLES_PATH": str(FOLDER / "roles"),
        "PATH": os.pathsep.join([*([path] if path else []), str(PROGRAMS), os.environ["PATH"]]),
    }
    command = [str(PROGRAMS / program), *map(str, words)]
    return subprocess.run(
        command, env=environment, cwd=FOLDER, capture_output=True, text=True, timeout=600, check=False
    )


def play(playbook: Path, variables: dict[str, Any], home: Path, path: str = "", *words: str) -> dict[str, int]:
    """Run a playbook on this machine; its recap, as numbers."""
    given = home / "variables.yml"
    given.write_text(yaml.safe_dump({"ansible_python_interpreter": sys.executable, **variables}))
    done = ansible(
        "ansible-playbook", "-c", "local", "-i", "localhost,", playbook, "-e", f"@{given}", *words, home=home, path=path
    )
    recap = re.search(r"^localhost +: (.*)$", done.stdout, re.MULTILINE)
    assert recap, done.stdout + done.stderr
    numbers = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", recap.group(1))}
    assert not numbers["failed"], done.stdout + done.stderr
    return numbers


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    done = ansible("ansible-lint", "--offline", "--nocolor", "--strict", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["gateway.yml", "clients.yml"])
def test_ansible_accepts_the_playbooks(playbook: str, tmp_path: Path) -> None:
    done = ansible("ansible-playbook", "--syntax-check", "-i", "hosts.yml", playbook, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def role(tmp_path: Path, name: str) -> Path:
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "roles": [name]}]))
    return playbook


def gateway(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return {
        "kmstwist_gateway_config": str(tmp_path / "kmstwist.toml"),
        "kmstwist_gateway_config_owner": os.geteuid(),
        "kmstwist_gateway_config_group": os.getegid(),
        "kmstwist_gateway_command": str(BIN / "kmstwist"),
        "kmstwist_gateway_upstreams": [{"address": "kms1.corp.test"}, {"address": "kms2.corp.test", "priority": 10}],
        "kmstwist_gateway_settings": settings,
    }


def test_the_gateways_configuration_is_written_once_and_is_what_was_asked_for(tmp_path: Path) -> None:
    settings = {"admission": {"allow": ["10.0.0.0/8"]}, "web": {"listen": "127.0.0.1:9688"}, "audit": {"enabled": True}}
    given, playbook = gateway(tmp_path, **settings), role(tmp_path, "kmstwist_gateway")
    given["kmstwist_gateway_command"] = str(_server_that_takes_all(tmp_path))
    words = ("", "--tags=kmstwist_configure")
    assert play(playbook, given, tmp_path, *words)["changed"] >= 1
    config = load(tmp_path / "kmstwist.toml").config
    assert [(each.address, each.priority) for each in config.gateway.upstreams] == [
        ("kms1.corp.test:1688", 0),
        ("kms2.corp.test:1688", 10),
    ]
    assert ([str(each) for each in config.admission.allow], config.web.listen) == (["10.0.0.0/8"], "127.0.0.1:9688")
    assert (tmp_path / "kmstwist.toml").stat().st_mode & 0o777 == 0o640
    assert play(playbook, given, tmp_path, *words)["changed"] == 0


def _server_that_takes_all(tmp_path: Path) -> Path:
    """kmstwist, beside a server that accepts every configuration: `config reload` prints nothing."""
    script = tmp_path / "kmstwist"
    script.write_text(f'#!/bin/sh\n[ "$2" = reload ] && exit 0\nexec {BIN / "kmstwist"} "$@"\n')
    script.chmod(0o755)
    return script


def test_a_configuration_with_mistakes_is_not_installed(tmp_path: Path) -> None:
    given = gateway(tmp_path, gateway={"deadlin": 3})
    with pytest.raises(AssertionError, match="did you mean deadline"):
        play(role(tmp_path, "kmstwist_gateway"), given, tmp_path, "", "--tags=kmstwist_configure")
    assert not (tmp_path / "kmstwist.toml").exists()


def test_a_gateway_without_hosts_is_refused(tmp_path: Path) -> None:
    given = gateway(tmp_path) | {"kmstwist_gateway_upstreams": []}
    with pytest.raises(AssertionError, match="name the site's licensed KMS hosts"):
        play(role(tmp_path, "kmstwist_gateway"), given, tmp_path, "", "--tags=kmstwist_configure")


def test_a_client_is_set_up_and_then_never_changed(tmp_path: Path) -> None:
    with Server(tmp_path / "lab") as server:
        state = f"--state-dir={tmp_path / 'lab'}"
        kmstwist("lab", "activate", f"--product={WINDOWS}", "--count=30", f"--port={server.port}", state)
        assert kmstwist("lab", "machine", "new", "PC1", f"--product={WINDOWS}", state).returncode == 0
        shim = tmp_path / "shim"
        assert kmstwist("lab", "shim", str(shim), "--machine=PC1", state).returncode == 0
        playbook = role(tmp_path, "kms_client")
        given = {"kms_client_host": f"127.0.0.1:{server.port}", "kms_client_key": find(WINDOWS).gvlk}
        first = play(playbook, given, tmp_path, str(shim))
        assert first["changed"] >= 2
        assert play(playbook, given, tmp_path, str(shim))["changed"] == 0
        # Without a named key, the key is left alone; if DNS is to be asked, a host that was set is cleared.
        by_dns = {"kms_client_activate": False}
        assert play(playbook, by_dns, tmp_path, str(shim))["changed"] == 1
        assert play(playbook, by_dns, tmp_path, str(shim))["changed"] == 0
        server.stop()
