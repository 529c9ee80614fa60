"""The one scale of health."""

from __future__ import annotations

from kmstwist.findings import Finding, Health, overall


def test_the_worst_finding_is_the_overall_health_and_none_is_well() -> None:
    found = [Finding("a", Health.HEALTHY, "well"), Finding("b", Health.DOWN, "gone"), Finding("c", Health.DEGRADED, "")]
    assert overall(found) is Health.DOWN
    assert overall([]) is Health.HEALTHY


def test_a_monitoring_plugin_reads_the_same_scale_in_its_own_words_and_exit_codes() -> None:
    assert [(int(one), one.word, one.plugin) for one in Health] == [
        (0, "healthy", "OK"),
        (1, "degraded", "WARNING"),
        (2, "down", "CRITICAL"),
    ]


def test_a_finding_names_its_cure_in_its_sentence_and_in_json() -> None:
    finding = Finding("server", Health.DOWN, "it is paused", command="kmstwist gateway resume")
    assert finding.sentence == "it is paused (kmstwist gateway resume)"
    assert Finding("server", Health.HEALTHY, "it runs").sentence == "it runs"
    assert finding.as_json() == {
        "check": "server",
        "health": "down",
        "verdict": "CRITICAL",
        "finding": "it is paused",
        "cure": "kmstwist gateway resume",
    }
    one = Finding(
        "host", Health.DOWN, "it does not answer", "look at it", subject="kms1", command="kmstwist probe kms1"
    )
    assert (one.name, one.as_json()["check"], one.remedy) == ("host kms1", "host kms1", "look at it")
