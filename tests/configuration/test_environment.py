"""The environment as a layer of the configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.configuration.environment import overrides, settable, variable
from kmstwist.configuration.mistakes import ConfigError
from kmstwist.configuration.reading import load


def config_of(**environment: str):  # type: ignore[no-untyped-def]
    return load(None, overrides(environment)).config


def mistakes_of(environment: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides(environment))
    return tuple(map(str, caught.value.mistakes))


def test_numbers_texts_and_switches_are_read_as_the_model_has_them() -> None:
    config = config_of(
        KMSTWIST_SERVER__PORT="1690",
        KMSTWIST_SERVER__TIMEOUTS__DRAIN="2.5",
        KMSTWIST_SERVER__LOG__FORMAT="json",
        KMSTWIST_AUDIT__ENABLED="no",
        KMSTWIST_GATEWAY__DISCOVER="corp.example",
        KMSTWIST_WEB__LISTEN="127.0.0.1:9688",
    )
    assert (config.server.port, config.server.timeouts.drain, config.server.log.format) == (1690, 2.5, "json")
    assert (config.audit.enabled, config.gateway.discover) == (False, "corp.example")
    assert config.web.listen == "127.0.0.1:9688"


def test_lists_have_commas_or_are_written_as_toml_writes_them() -> None:
    config = config_of(
        KMSTWIST_ADMISSION__ALLOW="10.0.0.0/8, 192.168.0.0/16",
        KMSTWIST_LAB__PRODUCTS='["Windows", "Office"]',
        KMSTWIST_GATEWAY__UPSTREAMS="kms1.example.com,kms2.example.com:1690",
    )
    assert [str(network) for network in config.admission.allow] == ["10.0.0.0/8", "192.168.0.0/16"]
    assert config.lab.products == ("Windows", "Office")
    assert [upstream.address for upstream in config.gateway.upstreams] == [
        "kms1.example.com:1688",
        "kms2.example.com:1690",
    ]
    tables = config_of(KMSTWIST_GATEWAY__UPSTREAMS='[{address = "kms1.example.com", name = "one", weight = 7}]')
    assert (tables.gateway.upstreams[0].name, tables.gateway.upstreams[0].weight) == ("one", 7)


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_a_list_that_was_left_empty_is_a_mistake_and_not_a_lab(text: str) -> None:
    with pytest.raises(ConfigError, match=r"KMSTWIST_GATEWAY__UPSTREAMS: is empty; unset the variable"):
        overrides({"KMSTWIST_GATEWAY__UPSTREAMS": text})
    assert [each.value for each in overrides({"KMSTWIST_GATEWAY__UPSTREAMS": "[]"})] == [[]]


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "forward_to"
    secret.write_text("postgresql://writer:secret@db.example.com/kms\n")
    config = config_of(KMSTWIST_AUDIT__FORWARD_TO_FILE=str(secret))
    assert config.audit.forward_to == "postgresql://writer:secret@db.example.com/kms"


def test_all_mistakes_are_reported_at_once_with_their_variables(tmp_path: Path) -> None:
    said = mistakes_of(
        {
            "KMSTWIST_SERVER__PORT": "many",
            "KMSTWIST_AUDIT__ENABLED": "perhaps",
            "KMSTWIST_SERVER__PROT": "1",
            "KMSTWIST_WEB_LISTEN": "127.0.0.1:9688",
            "KMSTWIST_AUDIT__FORWARD_TO_FILE": str(tmp_path / "none"),
            "KMSTWIST_LAB__PRODUCTS": "[Windows",
        }
    )
    assert set(said) == {
        f"KMSTWIST_AUDIT__FORWARD_TO_FILE: {tmp_path}/none cannot be read: No such file or directory",
        "KMSTWIST_AUDIT__ENABLED: must be true or false",
        "KMSTWIST_LAB__PRODUCTS: not a list as TOML writes it: Invalid value",
        "KMSTWIST_SERVER__PORT: must be a whole number",
        "KMSTWIST_SERVER__PROT: no such option; did you mean KMSTWIST_SERVER__PORT?",
        "KMSTWIST_WEB_LISTEN: no such option; write KMSTWIST_WEB__LISTEN, with two underscores between section and key",
    }


def test_a_value_that_the_model_refuses_is_reported_with_its_variable() -> None:
    assert mistakes_of({"KMSTWIST_SERVER__PORT": "70000"}) == ("KMSTWIST_SERVER__PORT: must be at most 65535",)


def test_a_variable_and_its_file_together_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("1690")
    environment = {"KMSTWIST_SERVER__PORT": "1688", "KMSTWIST_SERVER__PORT_FILE": str(file)}
    assert mistakes_of(environment) == (
        "KMSTWIST_SERVER__PORT_FILE: KMSTWIST_SERVER__PORT and KMSTWIST_SERVER__PORT_FILE are both set; keep one",
    )


def test_other_variables_are_left_alone() -> None:
    assert overrides({"KMSTWIST_AUDIT_STORE": "x", "KMSTWIST_REQUIRE_PEERS": "1", "PATH": "/bin"}) == []


def test_the_command_line_overrides_the_environment_and_that_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text("[server]\nport = 1\n[gateway]\ndeadline = 3\nattempt_timeout = 1\n")
    environment = {**os.environ, "KMSTWIST_SERVER__PORT": "2", "KMSTWIST_GATEWAY__DEADLINE": "4"}
    code = "from kmstwist.cli.main import main; main()"
    command = [sys.executable, "-c", code, "config", "show", f"--config={file}", "--port=3"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "port = 3" in shown
    assert "--port=3" in shown
    assert "KMSTWIST_GATEWAY__DEADLINE" in shown
    assert "deadline = 4" in shown


def test_every_option_has_a_variable_of_its_own() -> None:
    names = [variable(place) for place, _ in settable()]
    assert len(names) == len(set(names)) > 50


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_mistake(text: str) -> None:
    for place, _ in settable():
        try:
            load(None, overrides({variable(place): text}))
        except ConfigError:
            continue
