"""The table `hourly_activity`: the calls of each hour, by gateway, KMS host and product. It names no machine."""

from __future__ import annotations

from kmstwist.audit.sums.table import SummaryTable

HOURLY_ACTIVITY = SummaryTable(
    "hourly_activity",
    ("hour", "gateway", "upstream", "product"),
    {
        "hour": "hour",
        "gateway": "gateway",
        "upstream": "upstream_asked",
        "product": "product_asked",
        "calls": "calls",
        "successes": "granted",
        "bytes_in": "bytes_in",
        "bytes_out": "bytes_out",
        "answer_ms": "answer_ms",
        "answer_calls": "has_answer_ms",
    },
    names_machines=False,
    # Calls are those of peers that sent a KMS message.
    given=("version",),
    added=("calls", "successes", "bytes_in", "bytes_out", "answer_ms", "answer_calls"),
)
