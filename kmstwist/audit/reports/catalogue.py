"""The list of reports: what the command line and the status site offer."""

from __future__ import annotations

from kmstwist.audit.reports.activity import activity
from kmstwist.audit.reports.count import count
from kmstwist.audit.reports.digest import digest
from kmstwist.audit.reports.duplicates import duplicates
from kmstwist.audit.reports.failures import failures, refused
from kmstwist.audit.reports.inventory import networks, products
from kmstwist.audit.reports.machines import (
    clients,
    clients_at_length,
    expiring,
    expiring_at_length,
    silent,
    silent_at_length,
)
from kmstwist.audit.reports.model import ReportDefinition
from kmstwist.audit.reports.unconfigured import strangers

_ALL = ReportDefinition.ALL
_TIMES = frozenset({"since", "until"})

REPORTS: dict[str, ReportDefinition] = {
    definition.name: definition
    for definition in (
        ReportDefinition(
            "clients", "each machine, its last activation, renewal and expiry", clients, _ALL, clients_at_length
        ),
        ReportDefinition(
            "expiring", "who loses activation within N days", expiring, _ALL | {"days"}, expiring_at_length
        ),
        ReportDefinition("silent", "who stopped renewing", silent, _ALL | {"days"}, silent_at_length),
        ReportDefinition("duplicates", "CMIDs shared or changed", duplicates, _TIMES | {"machine"}),
        ReportDefinition("failures", "failures by status and network", failures, _ALL - {"product"}),
        ReportDefinition("refused", "who was refused, and why", refused, _ALL - {"product", "upstream"}),
        ReportDefinition(
            "activity", "calls by hour, day, upstream or product", activity, _TIMES | {"upstream", "product", "by"}
        ),
        ReportDefinition("count", "distinct clients in 30 days, with a forecast", count, frozenset()),
        ReportDefinition("products", "how many machines run what", products, _ALL),
        ReportDefinition("networks", "how many machines run what, where", networks, _ALL),
        ReportDefinition("strangers", "KMS hosts in DNS that nobody configured", strangers, frozenset()),
        ReportDefinition(
            "digest",
            "what N days brought: who expires, fell silent, is new; refusals",
            digest,
            frozenset({"days", "machine", "network"}),
        ),
    )
}
