"""The subject of each report in a line, so that reports can be listed without loading the code that makes them."""

from __future__ import annotations

#: By the reports' names, in the order in which they are listed.
SUMMARIES: dict[str, str] = {
    "clients": "each machine, its last activation, renewal and expiry",
    "expiring": "who loses activation within N days",
    "silent": "who stopped renewing",
    "duplicates": "CMIDs shared or changed",
    "failures": "failures by status and network",
    "refused": "who was refused, and why",
    "activity": "calls by hour, day, upstream or product",
    "count": "distinct clients in 30 days, with a forecast",
    "products": "how many machines run what",
    "networks": "how many machines run what, where",
    "strangers": "KMS hosts in DNS that nobody configured",
    "digest": "what N days brought: who expires, fell silent, is new; refusals",
}
