"""The alert rules and the dashboard are right, and name only metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kmstwist.web.metrics.exposition import metric_names
from tests.etc.conftest import ETC
from tests.system.running import run

MONITORING = ETC / "monitoring"
_NAME = re.compile(r"\bkmstwist_\w+")


def test_every_metric_the_rules_and_the_dashboard_name_exists() -> None:
    for file in ("alerts.yml", "grafana-dashboard.json"):
        named = set(_NAME.findall((MONITORING / file).read_text()))
        assert named
        assert named <= metric_names(), file


def test_the_dashboard_or_the_rules_use_every_metric() -> None:
    text = "".join((MONITORING / file).read_text() for file in ("alerts.yml", "grafana-dashboard.json"))
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in metric_names()}
    unused = {name for name in families if name.startswith("kmstwist_") and name not in text}
    assert unused == {"kmstwist_start_time_seconds"}


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_rules_and_the_scrape_job() -> None:
    rules = run(["promtool", "check", "rules", str(MONITORING / "alerts.yml")])
    assert rules.returncode == 0, rules.stdout + rules.stderr
    config = run(["promtool", "check", "config", "--syntax-only", str(MONITORING / "prometheus.yml")])
    assert config.returncode == 0, config.stdout + config.stderr


_TESTS = """
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'kmstwist_health{instance="a"}', values: '2x20'}
      - {series: 'kmstwist_upstream_state{instance="a",upstream="kms1",state="down"}', values: '1x20'}
      - {series: 'kmstwist_upstream_state{instance="a",upstream="kms1",state="up"}', values: '0x20'}
      - {series: 'kmstwist_audit_forward_connected{instance="a"}', values: '1x5 0x60 1x5'}
      - {series: 'kmstwist_audit_forward_behind{instance="a"}', values: '0x5 20000x65'}
    alert_rule_test:
      - {eval_time: 4m, alertname: KmstwistDown}
      - eval_time: 6m
        alertname: KmstwistDown
        exp_alerts:
          - exp_labels: {severity: critical, instance: a}
            exp_annotations:
              summary: kmstwist at a answers no clients
              what_to_do: its status page says why; kmstwist doctor says what to do
      - eval_time: 16m
        alertname: KmstwistHostDown
        exp_alerts:
          - exp_labels: {severity: warning, instance: a, upstream: kms1, state: down}
            exp_annotations:
              summary: the KMS host kms1 does not answer a
              what_to_do: kmstwist probe kms1; look at its Software Protection service
      - {eval_time: 20m, alertname: KmstwistCentralStoreAway}
      - eval_time: 22m
        alertname: KmstwistCentralStoreAway
        exp_alerts:
          - exp_labels: {severity: warning, instance: a}
            exp_annotations:
              summary: a cannot feed the central store; its records wait in its own
              what_to_do: kmstwist log --event audit-forward-failing --since 1h; kmstwist doctor
      - {eval_time: 65m, alertname: KmstwistCentralStoreBehind}
      - {eval_time: 68m, alertname: KmstwistCentralStoreAway}
      - eval_time: 68m
        alertname: KmstwistCentralStoreBehind
        exp_alerts:
          - exp_labels: {severity: warning, instance: a}
            exp_annotations:
              summary: 20k records of a are not in the central store yet
              what_to_do: look at the load and the disk of the PostgreSQL server
"""


@pytest.mark.needs("promtool")
def test_the_alarm_goes_off_when_it_should(tmp_path: Path) -> None:
    (tmp_path / "tests.yml").write_text(_TESTS.replace("RULES", str(MONITORING / "alerts.yml")))
    result = run(["promtool", "test", "rules", str(tmp_path / "tests.yml")])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.needs("promtool")
def test_each_alarm_about_activation_goes_off_when_it_should_and_only_then(tmp_path: Path) -> None:
    tests = Path(__file__).with_name("alerts_of_activation.yml").read_text()
    alarms = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text().partition("kmstwist-activation")[2])
    for alarm in alarms:
        assert re.search(rf"alertname: {alarm}\n *exp_alerts", tests), alarm
    (tmp_path / "tests.yml").write_text(tests.replace("RULES", str(MONITORING / "alerts.yml")))
    result = run(["promtool", "test", "rules", str(tmp_path / "tests.yml")])
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboard_has_the_shape_grafana_reads() -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    assert dashboard["schemaVersion"] >= 36
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["targets"]


def test_a_coloured_number_says_where_its_colour_changes() -> None:
    for panel in json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]:
        if panel.get("options", {}).get("colorMode") == "background":
            defaults = panel["fieldConfig"]["defaults"]
            values = [option for mapping in defaults.get("mappings", []) for option in mapping["options"].values()]
            steps = defaults.get("thresholds", {}).get("steps", [])
            assert len({each["color"] for each in [*steps, *values] if "color" in each}) > 1, panel["title"]
