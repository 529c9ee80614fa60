"""A server's life for the kill test: records calls as fast as it can, and tells a pipe what was acknowledged.

Imported by a fork server without a reactor, so that each child is a fork that makes its own.
"""

from __future__ import annotations

import os
from pathlib import Path

# What the fork server is to have loaded: everything but the reactor.
import kmstwist.audit.plain.settings
import kmstwist.audit.service
import kmstwist.audit.upkeep.served

IN_HAND = 200


def serve(store: str, pipe: int, life: int) -> None:
    """Keep `IN_HAND` calls under way until killed; write each acknowledged record's id to `pipe`."""
    from kmstwist.kms.activation import ActivationAnswer, ActivationCall
    from tests.reactors import reactor

    settings = kmstwist.audit.plain.settings.AuditSettings(store=str(Path(store)), gateway=f"life{life}")
    audit = kmstwist.audit.service.AuditService(settings, reactor)
    call = ActivationCall((6 << 16).to_bytes(4, "little") + bytes(256), "10.0.0.7", 50000)
    call.answered(ActivationAnswer(0, bytes(180), upstream="kms1"), 0.0)

    def another() -> None:
        record = audit.maker.make(call)

        def acknowledged(_: Exception | None) -> None:
            os.write(pipe, record.record_id)
            reactor.callLater(0, another)

        audit.take(record, acknowledged)

    def start() -> None:
        audit.startService()
        for _ in range(IN_HAND):
            another()

    reactor.callWhenRunning(start)
    reactor.run()
