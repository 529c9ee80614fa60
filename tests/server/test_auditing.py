"""The audit's service follows the configuration."""

from __future__ import annotations

from pathlib import Path

from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.privacy import Keep, PrivacyPolicy
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.configuration.reading import load
from kmstwist.server.auditing import make_audit
from tests.reactors import reactor

CONFIG = """
[audit]
store = "{store}"
gateway = "gateway1"
on_audit_failure = "refuse"
forward_to = "postgresql://kmstwist@192.0.2.1/kmstwist"
keep_days = 400
keep_mib = 2
gather = 0.5
batch = 7
queue = 9
[audit.privacy]
client = "truncate"
peer = "drop"
machine = "hash"
cmid = "truncate"
"""


def test_every_option_of_the_audit_reaches_its_service(tmp_path: Path) -> None:
    file, store = tmp_path / "kmstwist.toml", tmp_path / "elsewhere.sqlite"
    file.write_text(CONFIG.format(store=store))
    section = load(file).config.audit
    assert [name for name in type(section).model_fields if name not in {*section.model_fields_set, "enabled"}] == []
    audit = make_audit(section, tmp_path, reactor, lab=False, forwards=False, drain=3.0)
    assert audit is not None
    assert audit.settings == AuditSettings(
        store=str(store),
        gateway="gateway1",
        on_failure=OnFailure.REFUSE,
        privacy=PrivacyPolicy(Keep.TRUNCATE, Keep.DROP, Keep.HASH, Keep.TRUNCATE),
        limits=Limits(400, 2 << 20, floor=1000),
        forward_to="postgresql://kmstwist@192.0.2.1/kmstwist",
        forwards=False,
        gather=0.5,
        batch=7,
        queue=9,
        drain=3.0,
    )


def test_an_audit_that_is_off_has_no_service(tmp_path: Path) -> None:
    file = tmp_path / "kmstwist.toml"
    file.write_text("[audit]\nenabled = false\n")
    assert make_audit(load(file).config.audit, tmp_path, reactor, lab=False) is None
    assert list(tmp_path.iterdir()) == [file]
