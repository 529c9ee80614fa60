from __future__ import annotations

from pathlib import Path

from kmstwist.configuration.model import Config
from kmstwist.lab.host_settings import HostSettings
from kmstwist.lab.store import STORE_FILE_NAME, LabStore
from kmstwist.server.lab_settings import as_set_with_slmgr, with_settings

SET = HostSettings(activation_interval=30, renewal_interval=60, port=1700, publishes=False)


def test_what_slmgr_set_fills_what_the_configuration_leaves_open() -> None:
    config = with_settings(Config.model_validate({"lab": {"renewal_interval": 99}}), SET)
    assert (config.lab.activation_interval, config.lab.renewal_interval, config.server.port) == (30, 99, 1700)


def test_a_named_endpoint_and_a_named_port_go_first() -> None:
    assert with_settings(Config.model_validate({"server": {"port": 1688}}), SET).server.port == 1688
    listening = Config.model_validate({"server": {"listen": ("tcp:1690",)}})
    assert with_settings(listening, SET).server == listening.server


def test_cdns_stops_publishing() -> None:
    config = Config.model_validate({"dns": {"publish": {"domains": ("corp.example",)}}})
    assert with_settings(config, HostSettings()).dns.publish.domains
    assert not with_settings(config, SET).dns.publish.domains


def test_a_state_folder_without_a_store_changes_nothing(tmp_path: Path) -> None:
    config = Config.model_validate({"server": {"state_dir": str(tmp_path)}})
    assert as_set_with_slmgr(config) == config
    store = LabStore(tmp_path / STORE_FILE_NAME)
    store.save_settings(SET)
    store.save_running(HostSettings(port=1688))
    assert (store.load_settings(), store.load_running()) == (SET, HostSettings(port=1688))
    store.close()
    assert as_set_with_slmgr(config).server.port == 1700
