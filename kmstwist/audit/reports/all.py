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
from kmstwist.audit.reports.strangers import strangers
from kmstwist.audit.reports.subjects import SUMMARIES

_ALL = ReportDefinition.ALL
_TIMES = frozenset({"since", "until"})

REPORTS: dict[str, ReportDefinition] = {
    definition.name: definition
    for definition in (
        ReportDefinition("clients", SUMMARIES["clients"], clients, _ALL, clients_at_length),
        ReportDefinition("expiring", SUMMARIES["expiring"], expiring, _ALL | {"days"}, expiring_at_length),
        ReportDefinition("silent", SUMMARIES["silent"], silent, _ALL | {"days"}, silent_at_length),
        ReportDefinition("duplicates", SUMMARIES["duplicates"], duplicates, _TIMES | {"machine"}),
        ReportDefinition("failures", SUMMARIES["failures"], failures, _ALL - {"product"}),
        ReportDefinition("refused", SUMMARIES["refused"], refused, _ALL - {"product", "upstream"}),
        ReportDefinition("activity", SUMMARIES["activity"], activity, _TIMES | {"upstream", "product", "by"}),
        ReportDefinition("count", SUMMARIES["count"], count, frozenset()),
        ReportDefinition("products", SUMMARIES["products"], products, _ALL),
        ReportDefinition("networks", SUMMARIES["networks"], networks, _ALL),
        ReportDefinition("strangers", SUMMARIES["strangers"], strangers, frozenset()),
        ReportDefinition(
            "digest",
            SUMMARIES["digest"],
            digest,
            frozenset({"days", "machine", "network"}),
        ),
    )
}
