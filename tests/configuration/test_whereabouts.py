"""Which server and which store commands work on: an option, the environment, the file, the default, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.whereabouts import Whereabouts, installed_state_dir


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kms.toml"
    path.write_text(f'[server]\nport = 1700\nstate_dir = "{tmp_path}/state"\n[audit]\nstore = "/audit/a.sqlite"\n')
    return path


def test_an_option_goes_before_the_environment_and_that_before_the_file(file: Path, tmp_path: Path) -> None:
    environ = {"KMSTWIST_CONFIG": str(file)}
    told = Whereabouts(environ=environ)
    assert (told.config.value, told.config.origin) == (file, "KMSTWIST_CONFIG")
    assert (told.port.value, told.port.origin) == (1700, f"{file}:2")
    assert (told.state_dir.value, told.run_dir.value) == (tmp_path / "state", tmp_path / "state")
    assert (told.store.value, told.store.origin) == ("/audit/a.sqlite", f"{file}:5")

    environ |= {"KMSTWIST_SERVER__PORT": "1701", "KMSTWIST_AUDIT_STORE": "/b.sqlite"}
    told = Whereabouts(environ=environ)
    assert (told.port.value, told.port.origin) == (1701, "KMSTWIST_SERVER__PORT")
    assert (told.store.value, told.store.origin) == ("/b.sqlite", "KMSTWIST_AUDIT_STORE")

    told = Whereabouts(port=1702, run_dir=Path("/run/x"), store="/c.sqlite", environ=environ)
    assert (told.port.value, told.port.origin) == (1702, "--port")
    assert (told.run_dir.value, told.run_dir.origin) == (Path("/run/x"), "--run-dir")
    assert (told.store.value, told.store.origin) == ("/c.sqlite", "--store")
    assert told.effective.config.server.port == 1702


def test_the_installed_configuration_counts_if_none_is_named(file: Path) -> None:
    told = Whereabouts(environ={}, installed=file)
    assert (told.port.value, told.port.origin) == (1700, f"{file}:2")
    assert Whereabouts(environ={"KMSTWIST_CONFIG": ""}, installed=file).port.value == 1688
    assert Whereabouts(environ={}, installed=file.with_name("none.toml")).port.origin == "default"


@pytest.mark.parametrize(
    ("name", "folder"),
    [("kmstwist", "kmstwist"), ("dmz", "kmstwist-dmz"), ("kmstwist-dmz", "kmstwist-dmz")],
)
def test_the_service_of_an_installed_file_has_its_state_where_the_units_say(name: str, folder: str) -> None:
    assert installed_state_dir(Path(f"/etc/kmstwist/{name}.toml")) == Path("/var/lib") / folder


def test_without_a_file_of_its_own_folder_the_installed_one_s_state_is_meant(tmp_path: Path) -> None:
    installed = tmp_path / "kmstwist.toml"
    installed.touch()
    told = Whereabouts(environ={"HOME": "/home/somebody"}, installed=installed)
    assert told.state_dir.value == Path("/var/lib/kmstwist")
    assert told.state_dir.origin == f"default of {installed}"


def test_without_a_gateway_a_lone_lab_store_is_the_default(tmp_path: Path) -> None:
    def store(**environ: str) -> str:
        return Path(Whereabouts(state_dir=tmp_path, environ=environ).store.value).name

    assert store() == "audit.sqlite"
    (tmp_path / "lab-audit.sqlite").touch()
    assert store() == "lab-audit.sqlite"
    assert store(KMSTWIST_GATEWAY__UPSTREAMS="kms1.corp.test") == "audit.sqlite"
    (tmp_path / "audit.sqlite").touch()
    assert store() == "audit.sqlite"


def test_a_mistake_in_the_file_is_told_and_not_passed_over(file: Path) -> None:
    file.write_text("[server]\nport = 'many'\n")
    with pytest.raises(ConfigError, match=r"kms.toml:2: server.port: must be a whole number"):
        assert Whereabouts(config=file, environ={}).port
    assert Whereabouts(config=file, port=1690, environ={}).port.value == 1690
